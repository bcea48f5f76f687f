"""Rows that are equal or nearly so: by key, by MinHash over n-grams, by nearest neighbours of numbers.

Nearly equal texts and token rows share 80 % of their n-grams (Jaccard), as in the deduplication of Lee et al., 2022
(arXiv:2107.06499). MinHash (Broder, 1997) finds the candidates; each is then counted exactly. N-grams that many rows
have are a template, such as a prompt, and don't count; a row that has few others may differ in one word and mean
something else.

Rows of numbers are nearly equal when a row's nearest neighbour is much closer than its second nearest. In d dimensions the
ratio of the two distances is under t with probability t^d (TwoNN: Facco et al., 2017, which also gives d), so the bound
follows from how many such pairs chance may give: a hundredth of one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from tunewell.data.checked_rows import Array, CheckedRows
from tunewell.data.overlap import text_key
from tunewell.data.simple_model import has_words

JACCARD = 0.8
MOST_CHARACTERS = 100_000_000
"""Texts are compared by n-grams up to this much: it takes half a minute."""
MOST_NUMBERS = 10_000
"""Rows of numbers are compared with each other up to this many."""
_PERMUTATIONS = 64
_BUCKET = 50
"""Candidates looked at for one row: where hundreds of rows are alike, a few show it."""
_WORDS = 3
_CHARACTERS = 5
_LONG = 20
"""Median words from which word n-grams are used; of short texts characters tell more."""
_CHANCE_PAIRS = 0.01
_CLOSEST_RATIO = 0.1
_PROJECTED = 32
_FEWEST = 20
"""Rows below which distances tell nothing."""
_WORD = re.compile(r"\w+")
_MIX = [np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)]

_TEMPLATE = 0.05
"""Share of rows from which an n-gram is taken for a part of a template, and the rows that it takes at least."""
_TEMPLATE_ROWS = 20
_FEWEST_GRAMS = 20
"""N-grams of its own that a row needs to be compared."""

Pairs = list[tuple[int, int]]
"""(row, an earlier row that it resembles), as positions."""


def keys(rows: CheckedRows) -> list[bytes]:
    """Return 16 bytes a row that are equal for equal inputs: texts but for case and spaces, numbers to four digits."""
    if rows.kind == "texts":
        return [text_key(text, None) for text in rows.inputs]
    if rows.kind == "tokens":
        return [_digest(row) for row in np.asarray(rows.inputs)]
    numbers = np.asarray(rows.inputs)
    unit = float(numbers.std()) or 1.0
    return [_digest(np.round(row / unit * 1e4).astype(np.int32)) for row in numbers]


def _digest(row: Array) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest()


def near_pairs(rows: CheckedRows) -> tuple[Pairs, str]:
    """Return (later row, earlier row that it nearly equals), and why not if there are too many rows.

    No two of `rows` may have one key.
    """
    if rows.kind == "numbers":
        if len(rows) > MOST_NUMBERS:
            return [], f"more than {MOST_NUMBERS:,} rows of numbers: only equal ones were looked for"
        return _near_numbers(np.asarray(rows.inputs)), ""
    if rows.kind == "texts":
        characters = sum(map(len, rows.inputs))
        if characters > MOST_CHARACTERS:
            return [], f"{characters / 1e6:,.0f} million characters: only equal texts were looked for"
    return _near_sets(list(_shingles(rows))), ""


def _shingles(rows: CheckedRows) -> Iterator[Array]:
    """Yield each row's n-grams as sorted hashes, uint32 (different n-grams,)."""
    if rows.kind == "tokens":
        for ids in np.asarray(rows.inputs):
            yield _grams(ids[ids >= 0].astype(np.uint64) + np.uint64(1), _WORDS)
        return
    by_words = has_words(rows) and _median_words(rows.inputs) >= _LONG
    numbers: dict[str, int] = {}
    for text in rows.inputs:
        folded = str(text).casefold()
        if by_words:
            words = _WORD.findall(folded)
            codes = np.fromiter(
                (numbers.setdefault(w, len(numbers) + 1) for w in words), np.uint64, len(words)
            )
        else:
            joined = " ".join(folded.split())
            codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        yield _grams(codes, _WORDS if by_words else _CHARACTERS)


def _median_words(texts: Sequence[str] | Array) -> float:
    return float(np.median([len(str(text).split()) for text in texts[:1000]]))


def _grams(codes: Array, length: int) -> Array:
    """Return the different runs of `length` codes, uint32; of a shorter row the row itself."""
    length = max(1, min(length, len(codes)))
    mixed = np.zeros(max(0, len(codes) - length + 1), dtype=np.uint64)
    for place in range(length):
        mixed = (mixed ^ codes[place : len(codes) - length + 1 + place]) * _MIX[place % len(_MIX)]
        mixed ^= mixed >> np.uint64(29)
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def _near_sets(sets: Sequence[Array]) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    sets = _without_templates(sets)
    index = MinHashLSH(threshold=JACCARD - 0.05, num_perm=_PERMUTATIONS)
    blank = MinHash(num_perm=_PERMUTATIONS, hashfunc=int)
    found = []
    for row, grams in enumerate(sets):
        if len(grams) < _FEWEST_GRAMS:
            continue
        sketch = blank.copy()
        sketch.update_batch(grams)
        candidates = sorted(index.query(sketch))[:_BUCKET]
        near = next((one for one in candidates if _jaccard(grams, sets[one]) >= JACCARD), None)
        if near is None:
            index.insert(row, sketch, check_duplication=False)
        else:
            found.append((row, near))
    return found


def _without_templates(sets: Sequence[Array]) -> list[Array]:
    if not sets:
        return []
    found, counts = np.unique(np.concatenate(sets), return_counts=True)
    common = found[counts > max(_TEMPLATE_ROWS, _TEMPLATE * len(sets))]
    if not len(common):
        return list(sets)
    nearest = (np.minimum(np.searchsorted(common, grams), len(common) - 1) for grams in sets)
    return [grams[common[place] != grams] for grams, place in zip(sets, nearest, strict=True)]


def _jaccard(one: Array, other: Array) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _near_numbers(numbers: Array) -> Pairs:
    if len(numbers) < _FEWEST:
        return []
    from sklearn.neighbors import NearestNeighbors

    if numbers.shape[1] > 2 * _PROJECTED:
        generator = np.random.default_rng(0)
        numbers = numbers @ generator.standard_normal((numbers.shape[1], _PROJECTED), dtype=np.float32)
    distances, neighbours = NearestNeighbors(n_neighbors=3).fit(numbers).kneighbors(numbers)
    nearest, second = distances[:, 1], distances[:, 2]
    usual = second > 0
    if not usual.any():
        return []
    middle = float(np.median(nearest[usual] / second[usual]))
    dimension = np.log(0.5) / np.log(min(0.999, max(1e-9, middle)))
    bound = min(_CLOSEST_RATIO, (_CHANCE_PAIRS / len(numbers)) ** (1 / max(1.0, dimension)))
    near = np.flatnonzero(usual & (nearest < bound * second))
    return sorted(
        {(max(a, b), min(a, b)) for a, b in zip(near.tolist(), neighbours[near, 1].tolist(), strict=True)}
    )

"""Equal texts: duplicates in a split, the same text in two splits, conflicting labels.

Texts are equal here when they differ in case and white space alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from tunewell.data.cleaning import collapse_spaces
from tunewell.data.example import Example

Pair = tuple[Example, Example]
Shared = dict[tuple[str, str], list[Pair]]
"""By the names of two splits: the rows of the first whose text stands in the second, and one row there."""


def text_key(text: str, text_pair: str | None) -> bytes:
    """Return 16 bytes that are equal for equal texts."""
    joined = collapse_spaces(text.casefold())
    if text_pair is not None:
        joined += "\0" + collapse_spaces(text_pair.casefold())
    return hashlib.blake2b(joined.encode(), digest_size=16).digest()


def duplicates(examples: Sequence[Example], keys: Mapping[int, bytes]) -> list[Pair]:
    """Return (later row, first row) for each row whose text and target stood before; `keys` by row id."""
    first: dict[tuple[bytes, str], Example] = {}
    found = []
    for example in examples:
        before = first.setdefault((keys[example.row], str(example.target)), example)
        if before is not example:
            found.append((example, before))
    return found


def shared_texts(splits: Mapping[str, Sequence[Example]], keys: Mapping[int, bytes]) -> Shared:
    """Return the texts that two splits share; pairs of splits that share none are absent."""
    found = {}
    first = {name: {keys[e.row]: e for e in reversed(examples)} for name, examples in splits.items()}
    for one, other in combinations(splits, 2):
        pairs = [(e, first[other][keys[e.row]]) for e in splits[one] if keys[e.row] in first[other]]
        if pairs:
            found[one, other] = pairs
    return found


def conflicts(examples: Sequence[Example], keys: Mapping[int, bytes]) -> list[list[Example]]:
    """Return the groups of rows that have one text and different targets."""
    groups: dict[bytes, list[Example]] = defaultdict(list)
    for example in examples:
        groups[keys[example.row]].append(example)
    return [group for group in groups.values() if len(group) > 1 and len({str(e.target) for e in group}) > 1]


def spell_pair(pair: Sequence[Example]) -> str:
    """Return where rows of one text stand: ``a.csv:3 = b.csv:9``; at most four places."""
    return " = ".join(example.place for example in pair[:4])

"""What targets and inputs are like by themselves: classes, lengths, what is masked, scale, alignment of sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewell.data.belonging import belonging
from tunewell.data.checked_rows import IGNORED, Array, CheckedRows
from tunewell.inspections import DataCheck

_SHOWN_CLASSES = 200
_ENDS = 0.1
"""Share of rows that a token must end for it to be the end's mark."""
_ONLY_AT_ENDS = 0.9
"""Share of its places that must be ends."""
_PAST_THE_END = 0.25
"""Rows whose target goes on behind their input's end, beside those where it is the other way round, from which inputs
and targets don't belong together. In rows shuffled apart both are about as many; a cut target never goes on."""
_SAMPLE = 2_000


def check_classes(rows: CheckedRows, names: Sequence[str]) -> DataCheck:
    """Return the check ``classes``: numbers are rows by class, of several labels the rows in which each holds."""
    if rows.target_kind == "several":
        counts = rows.targets.sum(axis=0)
    elif rows.target_kind == "classes":
        counts = np.bincount(rows.targets[rows.targets != IGNORED], minlength=len(names))
    else:
        return DataCheck(why_not="targets are not classes")
    spelled = [names[i] if i < len(names) else str(i) for i in range(len(counts))]
    numbers = dict(zip(spelled[:_SHOWN_CLASSES], map(float, counts), strict=False))
    return DataCheck(count=int(np.sum(counts > 0)), of=len(rows), numbers=numbers)


def check_balance(rows: CheckedRows, names: Sequence[str], *, reweighted: bool) -> DataCheck:
    """Return the check ``balance`` of single classes: ``ratio`` of the largest to the smallest, and their rows."""
    if rows.target_kind != "classes":
        return DataCheck(why_not="targets are not single classes")
    counts = np.bincount(rows.targets[rows.targets != IGNORED])
    there = np.flatnonzero(counts)
    if len(there) < 2:
        return DataCheck(why_not="there are fewer than two classes")
    small = int(there[np.argmin(counts[there])])
    numbers = {
        "ratio": float(counts.max() / counts[small]),
        "smallest": float(counts[small]),
        "largest": float(counts.max()),
        "median": float(np.median(counts[there])),
        "reweighted": float(reweighted),
    }
    name = names[small] if small < len(names) else str(small)
    return DataCheck(count=len(there), of=len(rows), numbers=numbers, detail=name)


def check_truncated_inputs(rows: CheckedRows) -> DataCheck:
    """Return the check ``truncated_inputs``: rows whose input was cut."""
    if rows.truncated is None:
        return DataCheck(why_not="how inputs were cut is not known")
    return _marked(rows, rows.truncated)


def check_truncated_targets(rows: CheckedRows) -> DataCheck:
    """Return the check ``truncated_targets``: sequences that lost their end.

    A target has lost its end when real input goes on behind its last supervised place, or when it does not end with
    the mark that others end with: a token that ends at least a tenth of the rows and stands almost nowhere else. Where
    targets go on behind their input's end as well, the two don't belong together, and lengths say nothing.
    """
    if rows.target_kind != "sequences":
        return DataCheck(why_not="targets are not sequences")
    supervised = rows.targets != IGNORED
    some = supervised.any(axis=1)
    if not some.any():
        return DataCheck(why_not="no target is supervised")
    width = rows.targets.shape[1]
    last = width - 1 - supervised[:, ::-1].argmax(axis=1)
    ends = rows.targets[np.arange(len(rows)), last]
    cut = np.zeros(len(rows), dtype=np.bool_)
    marks = _end_marks(rows.targets[supervised], ends[some])
    if len(marks):
        cut |= some & ~np.isin(ends, marks)
    lengths = _input_lengths(rows)
    if lengths is not None:
        behind = lengths - 1 - last  # one place more where targets are the inputs moved by one
        usual = int(np.bincount(np.clip(behind[some], 0, None)).argmax())
        longer = some & (behind > max(usual, 1))
        if (some & (behind < 0)).sum() <= _PAST_THE_END * longer.sum():
            cut |= longer
    return _marked(rows, cut)


def _end_marks(tokens: Array, ends: Array) -> Array:
    """Return the tokens that end many rows, `ends` (rows,), and stand nearly nowhere else among `tokens`, (places,)."""
    found, counts = np.unique(tokens, return_counts=True)
    last = np.bincount(np.searchsorted(found, ends), minlength=len(found))
    result: Array = found[(last >= _ENDS * len(ends)) & (last >= _ONLY_AT_ENDS * counts)]
    return result


def _input_lengths(rows: CheckedRows) -> Array | None:
    """Return where each row's real tokens end, (rows,); None where inputs and targets are not place by place."""
    if rows.kind != "tokens" or np.shape(rows.inputs) != rows.targets.shape:
        return None
    tokens = np.asarray(rows.inputs)
    real = tokens >= 0
    supervised = rows.targets != IGNORED
    some, places = supervised.any(axis=1), np.arange(tokens.shape[1])
    last = places[-1] - supervised[:, ::-1].argmax(axis=1)
    behind = tokens[
        some[:, None] & (places > last[:, None] + 1)
    ]  # the end's own mark may stand one place further
    if len(behind):
        found, counts = np.unique(behind, return_counts=True)
        if counts.max() >= _ENDS * len(behind):
            real &= tokens != found[counts.argmax()]
    ends: Array = tokens.shape[1] - real[:, ::-1].argmax(axis=1)
    return ends


def check_unsupervised(rows: CheckedRows) -> DataCheck:
    """Return the check ``unsupervised``: rows without any target that counts."""
    if rows.target_kind == "classes":
        return _marked(rows, rows.targets == IGNORED)
    if rows.target_kind == "sequences":
        return _marked(rows, (rows.targets == IGNORED).all(axis=1))
    if rows.target_kind == "numbers":
        return _marked(rows, np.asarray(np.isnan(rows.targets).any(axis=1)))
    return DataCheck(of=len(rows))


def check_scale(rows: CheckedRows) -> DataCheck:
    """Return the check ``input_scale`` of inputs that are numbers: ``mean``, ``std``, ``largest``, ``rms``.

    ``spread``: the standard deviation of a row's features about their means over rows, in the median.
    """
    if rows.kind != "numbers":
        return DataCheck(why_not=f"inputs are {rows.kind}, which are embedded")
    numbers = np.asarray(rows.inputs)[:_SAMPLE].astype(np.float64)
    finite = np.isfinite(numbers)
    if not finite.any():
        return DataCheck(why_not="no input is finite")
    known = numbers[finite]
    return DataCheck(
        count=int(np.sum(~finite.all(axis=1))),
        of=len(numbers),
        numbers={
            "mean": float(known.mean()),
            "std": float(known.std()),
            "largest": float(np.abs(known).max()),
            "rms": float(np.sqrt((known**2).mean())),
        },
    )


def check_alignment(rows: CheckedRows) -> DataCheck:
    """Return the check ``alignment`` of token sequences whose targets are their inputs' tokens.

    ``offset``: targets[i] == inputs[i + offset] for most supervised places; 0 where the model moves them itself
    (transformers), 1 where the loop has done it. ``share``: places for which it holds; ``next``: for one place further
    (or nearer), so that a text of one repeated token decides nothing. Counted are rows whose targets are not the tokens
    of their own inputs where those of most others are; more numbers as in `belonging`.
    """
    if rows.kind != "tokens" or rows.target_kind != "sequences":
        return DataCheck(why_not="inputs and targets are not both token sequences")
    tokens, targets = np.asarray(rows.inputs)[:_SAMPLE], rows.targets[:_SAMPLE]
    if tokens.shape[1] != targets.shape[1]:
        return DataCheck(why_not="inputs and targets are of unlike lengths")
    shares = {offset: _share(tokens, targets, offset) for offset in range(-2, 4)}
    order = sorted(shares, key=lambda offset: -shares[offset])
    numbers = {
        "offset": float(order[0]),
        "share": round(shares[order[0]], 4),
        "next": round(shares[order[1]], 4),
    }
    apart = belonging(rows)
    return DataCheck(
        count=apart.count, of=apart.of or len(rows), rows=apart.rows, numbers=numbers | apart.numbers
    )


def _share(tokens: Array, targets: Array, offset: int) -> float:
    """Return for which share of supervised places the target is the input `offset` places further."""
    width = tokens.shape[1]
    if abs(offset) >= width:
        return 0.0
    here = targets[:, max(0, -offset) : width - max(0, offset)]
    there = tokens[:, max(0, offset) : width - max(0, -offset)]
    supervised = here != IGNORED
    return float((here == there)[supervised].mean()) if supervised.any() else 0.0


def _marked(rows: CheckedRows, marks: Array) -> DataCheck:
    found = np.flatnonzero(marks)
    return DataCheck(count=len(found), of=len(rows), rows=rows.ids[found[:1_000]].tolist())

"""Whether targets follow from inputs at all, and whether they would follow better if they stood one place further.

A simple model is cross-validated on a sample. "At chance" says little of a task that needs combinations of many
inputs; a signal found says for sure that inputs and targets belong together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunewell.data import simple_model
from tunewell.data.checked_rows import IGNORED, Array, CheckedRows
from tunewell.inspections import DataCheck

MOST_ROWS = 2_000
_BLOCK = 50
"""Rows in a row of the file that are sampled together, so that neighbours' targets are at hand."""
_FEWEST = 40
_SEVERAL = 8
"""Outputs of a regression looked at."""


def check_signal(train: CheckedRows, validation: CheckedRows | None) -> DataCheck:
    """Return the check ``signal``: how far a simple model beats guessing on rows that it did not see.

    Numbers: ``accuracy`` (balanced over classes; of numbers the correlation), ``chance``, ``standard_error``;
    ``shifted_by`` and ``shifted_accuracy``: of the targets one row before or after, the better of the two;
    ``held_out_accuracy``, ``class_shifted_by`` and ``class_shifted_accuracy``: on validation rows, plain accuracy as it
    is and with predictions moved by one class.
    """
    if train.target_kind == "sequences":
        return DataCheck(why_not="targets are sequences, which a simple model can't learn")
    if len(train) < _FEWEST:
        return DataCheck(why_not=f"fewer than {_FEWEST} training rows")
    chosen = _sample(len(train))
    sample = train.take(chosen)
    matrix = simple_model.features(sample)
    if train.target_kind == "numbers":
        return _of_numbers(matrix, train, chosen)
    classes = simple_model.single_classes(train)
    assert classes is not None
    kept = np.flatnonzero(classes[chosen] != IGNORED)
    if len(kept) < _FEWEST or len(np.unique(classes[chosen][kept])) < 2:
        return DataCheck(why_not="the sample has fewer than two classes")
    numbers = _of_classes(matrix, classes, chosen)
    if validation is not None and train.target_kind == "classes":
        numbers |= _on_held_out(sample, validation)
    return DataCheck(count=len(kept), of=len(kept), numbers=_rounded(numbers))


def _sample(rows: int) -> Array:
    """Return the positions of at most `MOST_ROWS` rows, in blocks of neighbours spread over the file."""
    if rows <= MOST_ROWS:
        return np.arange(rows)
    begins = np.linspace(0, rows - _BLOCK, MOST_ROWS // _BLOCK).astype(np.int64)
    return np.unique(np.concatenate([np.arange(begin, begin + _BLOCK) for begin in begins]))


def _of_classes(matrix: Any, classes: Array, chosen: Array) -> dict[str, float]:
    kinds = simple_model.kinds(matrix, len(np.unique(classes[chosen])))
    tried = {kind: _accuracy(matrix, classes[chosen], kind) for kind in kinds}
    best = max(tried, key=lambda kind: tried[kind]["accuracy"])
    shifted = {
        shift: _accuracy(matrix, np.roll(classes, shift)[chosen], kinds[0])["accuracy"] for shift in (-1, 1)
    }
    there = max(shifted, key=lambda shift: shifted[shift])
    return tried[best] | {"shifted_by": float(there), "shifted_accuracy": shifted[there]}


def _accuracy(matrix: Any, classes: Array, kind: simple_model.Kind) -> dict[str, float]:
    kept, numbered = simple_model.compact(classes)
    if len(np.unique(numbered)) < 2:
        return {"accuracy": 0.0, "chance": 1.0, "standard_error": 0.0}
    told = simple_model.out_of_sample(matrix[kept], numbered, kind, balanced=True).argmax(axis=1)
    sizes = np.bincount(numbered)
    recalls = np.bincount(numbered, told == numbered) / sizes
    chance = 1 / len(sizes)
    error = np.sqrt((chance * (1 - chance) / sizes).sum()) / len(sizes)
    return {"accuracy": float(recalls.mean()), "chance": chance, "standard_error": float(error)}


def _of_numbers(matrix: Any, train: CheckedRows, chosen: Array) -> DataCheck:
    targets = train.targets[:, :_SEVERAL]
    if not np.isfinite(targets[chosen]).all():
        return DataCheck(why_not="some targets are not finite")
    error = 1 / np.sqrt(len(chosen))

    def correlation(numbers: Array, *, trees: bool = False) -> float:
        told = simple_model.predicted_numbers(matrix, numbers, trees=trees)
        each = [_correlation(told[:, i], numbers[:, i]) for i in range(numbers.shape[1])]
        return float(np.mean(each))

    there = correlation(targets[chosen])
    if simple_model.may_grow(matrix):
        there = max(there, correlation(targets[chosen], trees=True))
    shifted = {shift: correlation(np.roll(targets, shift, axis=0)[chosen]) for shift in (-1, 1)}
    best = max(shifted, key=lambda shift: shifted[shift])
    numbers = {
        "accuracy": there,
        "chance": 0.0,
        "standard_error": float(error),
        "shifted_by": float(best),
        "shifted_accuracy": shifted[best],
    }
    return DataCheck(count=len(chosen), of=len(chosen), numbers=_rounded(numbers))


def _correlation(one: Array, other: Array) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 0 else 0.0


def _on_held_out(sample: CheckedRows, validation: CheckedRows) -> dict[str, float]:
    """Return how a model of the training rows does on validation rows, as it is and moved by one class."""
    kept = np.flatnonzero(sample.targets != IGNORED)
    there = validation.take(_sample(len(validation)))
    there = there.take(np.flatnonzero(there.targets != IGNORED))
    count = int(max(sample.targets.max(), there.targets.max(initial=0))) + 1
    if len(there) < _FEWEST or len(np.unique(sample.targets[kept])) < 2:
        return {}
    both = simple_model.features(_together(sample.take(kept), there))
    kind = simple_model.kinds(both, count)[0]
    model = simple_model.fitted(both[: len(kept)], sample.targets[kept], kind)
    told = model.predict(both[len(kept) :])
    right = {shift: float(np.mean((told - shift) % count == there.targets)) for shift in (0, -1, 1)}
    best = max((-1, 1), key=lambda shift: right[shift])
    return {
        "held_out_accuracy": right[0],
        "class_shifted_by": float(best),
        "class_shifted_accuracy": right[best],
        "held_out_rows": float(len(there)),
    }


def _together(one: CheckedRows, other: CheckedRows) -> CheckedRows:
    """Return the inputs of both, so that they are standardised alike."""
    from tunewell.data.repeats import joined

    return joined({"one": one, "other": other})


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(number, 4) for name, number in numbers.items()}

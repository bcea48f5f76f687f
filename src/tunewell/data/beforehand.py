"""What simple models that did not see a row say of its class, for every row of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunewell.data import simple_model
from tunewell.data.checked_rows import IGNORED, Array, CheckedRows, from_arrays, from_examples
from tunewell.data.example import Example

MOST_TRAINED = 8_000
"""Rows that the models are trained on; what they say of more rows hardly gets better."""
MOST_NUMBERS = 20_000_000
"""Rows × classes beyond which nothing is said: 80 MB."""
_FEWEST = 40


def said_of_examples(examples: Sequence[Example], labels: Sequence[str]) -> list[Array]:
    """Return log-probabilities of each row's class by each of the models, float32 (rows, classes); empty: too few or many."""
    return _said(from_examples(examples, labels, "single_label", None), len(labels))


def said_of_arrays(inputs: Any, classes: Any, count: int) -> list[Array]:
    """Return the same for somebody else's rows: inputs as in `checks.check_arrays`, classes (rows,) of `count`."""
    rows = from_arrays(inputs, classes)
    return _said(rows, count) if rows.target_kind == "classes" else []


def numbers_said_of_examples(examples: Sequence[Example]) -> Array | None:
    """Return what a model that did not see a row says of its number, (rows,); None: too few or too many rows."""
    return _numbers_said(from_examples(examples, [], "regression", None))


def numbers_said_of_arrays(inputs: Any, targets: Any) -> Array | None:
    """Return the same for somebody else's rows: inputs as in `checks.check_arrays`, targets (rows,) of numbers."""
    return _numbers_said(from_arrays(inputs, np.asarray(targets, dtype=np.float64)))


def _numbers_said(rows: CheckedRows) -> Array | None:
    """Return the better one of two models' numbers, by the median of what they miss by: wrong targets must not decide."""
    if not _FEWEST <= len(rows) <= MOST_TRAINED or not np.isfinite(rows.targets).all():
        return None
    matrix = simple_model.features(rows)
    kinds = [False, True] if simple_model.may_grow(matrix) else [False]
    told = [simple_model.predicted_numbers(matrix, rows.targets, trees=trees) for trees in kinds]
    best = min(told, key=lambda numbers: float(np.median(np.abs(numbers - rows.targets))))
    result: Array = best[:, 0]
    return result


def _said(rows: CheckedRows, count: int) -> list[Array]:
    supervised = np.flatnonzero(rows.targets != IGNORED)
    if len(supervised) < _FEWEST or len(rows) * count > MOST_NUMBERS or count < 2:
        return []
    taught = np.sort(np.random.default_rng(0).permutation(supervised)[:MOST_TRAINED])
    there, classes = np.unique(rows.targets[taught], return_inverse=True)
    if len(there) < 2:
        return []
    others = np.setdiff1d(np.arange(len(rows)), taught)
    matrix = simple_model.features(rows)
    said = []
    for kind in simple_model.kinds(matrix[taught], len(there)):
        found = np.full((len(rows), count), simple_model.LEAST, dtype=np.float32)
        found[np.ix_(taught, there)] = simple_model.out_of_sample(matrix[taught], classes, kind)
        if len(others):
            model = simple_model.fitted(matrix[taught], classes, kind)
            found[np.ix_(others, there)] = simple_model.log_probabilities(model, matrix[others], len(there))
        said.append(found)
    return said

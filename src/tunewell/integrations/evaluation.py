"""What targets and predictions of an evaluation tell: accuracy, recalls, confusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from torch import Tensor

from tunewell.integrations.measure import name_of, to_numpy
from tunewell.integrations.update import Update
from tunewell.problems import DataError, Problem

_MOST_CLASSES = 50
"""Classes up to which the confusion is kept, as `Eval` says."""


class Scores(TypedDict):
    """Fields of `Eval` that come from its rows."""

    metrics: dict[str, float]
    rows: int
    recalls: dict[str, float]
    class_rows: dict[str, int]
    confusion: list[list[int]] | None


class MeanLoss:
    """The mean training loss since it was last asked for."""

    def __init__(self) -> None:
        self._sum, self._rows = 0.0, 0

    def add(self, loss: float, rows: int) -> None:
        """Count an update; one that is not finite tells nothing of the others."""
        if math.isfinite(loss):
            self._sum += loss * max(1, rows)
            self._rows += max(1, rows)

    def taken(self) -> float | None:
        """Return it and begin anew; None: no update was made."""
        mean = self._sum / self._rows if self._rows else None
        self._sum, self._rows = 0.0, 0
        return mean


def scores(
    metrics: Mapping[str, float],
    targets: Sequence[int] | Tensor | None,
    predictions: Sequence[int] | Tensor | None,
    class_names: Sequence[str],
) -> Scores:
    """Return the fields of `Eval`; `targets` and `predictions` are (rows,) classes.

    Raises `DataError` where they don't fit each other.
    """
    found: Scores = {
        "metrics": {name: float(value) for name, value in metrics.items()},
        "rows": 0 if targets is None else len(targets),
        "recalls": {},
        "class_rows": {},
        "confusion": None,
    }
    if targets is None or predictions is None:
        return found
    true, told = _classes(targets), _classes(predictions)
    if true.shape != told.shape or true.ndim != 1:
        what = f"targets have the shape {true.shape} and predictions {told.shape}"
        raise DataError(Problem("data", what, fix="give one class a row of each"))
    if true.dtype.kind not in "iub" or told.dtype.kind not in "iub":
        return found
    if len(true):
        found["metrics"].setdefault("accuracy", float(np.mean(true == told)))
    classes = np.unique(np.concatenate([true, told]))
    places, told_places = np.searchsorted(classes, true), np.searchsorted(classes, told)
    names = [name_of(int(label), class_names) for label in classes]
    counts = np.bincount(places, minlength=len(classes))
    right = np.bincount(places[true == told], minlength=len(classes))
    found["class_rows"] = {name: int(count) for name, count in zip(names, counts, strict=True)}
    found["recalls"] = {
        name: float(hits / count) if count else 0.0
        for name, hits, count in zip(names, right, counts, strict=True)
    }
    if len(classes) <= _MOST_CLASSES:
        table = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(table, (places, told_places), 1)
        found["confusion"] = table.tolist()
    return found


def classes_of(update: Update) -> int:
    """Return how many classes the first micro-batch's rows choose from; 0: they are no rows of single classes."""
    first = update.passes[0]
    if first.seen is None or first.seen.log_probabilities is None or first.targets is None:
        return 0
    return first.seen.log_probabilities.shape[-1]


def _classes(values: Sequence[int] | Tensor) -> np.ndarray:
    return to_numpy(values) if isinstance(values, Tensor) else np.asarray(values)

"""How far a score may be off because only so many rows were scored: 95 % intervals from counts and confusions."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from tunewell.records import Eval

_Z = 1.959964
_DRAWS = 1000
_SEED = 0


class Interval(msgspec.Struct, frozen=True):
    """Where the score lies with 95 % confidence, were other rows of the same kind scored."""

    low: float
    high: float


def interval(record: Eval, metric: str) -> Interval | None:
    """Return the interval of one metric of an evaluation; None: what was recorded does not tell it.

    A share of rows (accuracy) has Wilson's interval; other metrics of classes are computed anew over draws from the
    confusion matrix (bootstrap, seeded).
    """
    value = record.metrics.get(metric)
    if value is None or not math.isfinite(value):
        return None
    if metric == "accuracy":
        return wilson(value, record.rows)
    if metric not in _OF_CONFUSION or not record.confusion:
        return None
    counts = np.asarray(record.confusion, dtype=np.float64)
    total = int(counts.sum())
    if total == 0 or abs(float(_OF_CONFUSION[metric](counts[None])[0]) - value) > 0.005:
        return None  # the task means something else by this name
    draws = np.random.default_rng(_SEED).multinomial(total, counts.ravel() / total, size=_DRAWS)
    scores = _OF_CONFUSION[metric](draws.reshape(_DRAWS, *counts.shape).astype(np.float64))
    low, high = np.percentile(scores, [2.5, 97.5]).tolist()
    return Interval(low, high) if low < high else None


def wilson(share: float, rows: int) -> Interval | None:
    """Return Wilson's interval of a share of `rows`; None where there are none."""
    if rows <= 0 or not 0 <= share <= 1:
        return None
    spread = _Z**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    reach = _Z * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


Stack = npt.NDArray[np.float64]
"""(draws, classes, classes) rows by true class, then by predicted class."""


def _macro_f1(stack: Stack) -> npt.NDArray[np.float64]:
    right = np.einsum("dcc->dc", stack)
    rows = stack.sum(2) + stack.sum(1)
    f1: npt.NDArray[np.float64] = 2 * right / np.maximum(rows, 1)
    return np.asarray(f1.mean(1), dtype=np.float64)


def _mcc(stack: Stack) -> npt.NDArray[np.float64]:
    true, predicted, total = stack.sum(2), stack.sum(1), stack.sum((1, 2))
    right = np.einsum("dcc->d", stack)
    above = right * total - (true * predicted).sum(1)
    below = np.sqrt((total**2 - (predicted**2).sum(1)) * (total**2 - (true**2).sum(1)))
    return np.asarray(above / np.where(below > 0, below, 1.0), dtype=np.float64)


_OF_CONFUSION = {"macro_f1": _macro_f1, "mcc": _mcc}

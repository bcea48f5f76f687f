"""What a batch costs: its shape, and seconds by shape, fitted to a few batches that were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import nnls

LEAST = 3
"""Batches that are measured however long they take: the smallest, a middle one and the largest."""
MOST = 60
"""Batches that are measured at most, however short they are."""
_LINEAR_LENGTH = 3000
"""Length at which attention costs about as much as all else, in models of a few hundred numbers a token."""


def shape(parts: Sequence[np.ndarray], lengths: np.ndarray) -> np.ndarray:
    """Return what a batch's time grows with, (4,), from the rows of its micro-batches and all rows' `lengths`.

    Those are: one for the batch, its micro-batches, its tokens with padding, and these times their rows' length, as
    attention has it.
    """
    found = np.array([1.0, len(parts), 0.0, 0.0])
    for rows in parts:
        longest = float(lengths[rows].max())
        found[2] += len(rows) * longest
        found[3] += len(rows) * longest**2
    return found


def largest_first(shapes: np.ndarray) -> np.ndarray:
    """Return the order of (batches, 4) `shapes` from the largest batch to the smallest."""
    return np.argsort(-(shapes[:, 2] + shapes[:, 3] / _LINEAR_LENGTH), kind="stable")


class CostModel:
    """Seconds of a batch as a sum of its shape's numbers, each times a rate that is never negative."""

    def __init__(self, shapes: np.ndarray, seconds: np.ndarray) -> None:
        """`shapes` (measured batches, 4) and their `seconds` (measured batches,)."""
        scale = shapes.max(axis=0)
        self._rates = nnls(shapes / scale, seconds)[0] / scale

    def seconds(self, shapes: np.ndarray) -> np.ndarray:
        """Return the seconds, (batches,), of batches of these `shapes`, (batches, 4)."""
        return np.asarray(shapes @ self._rates)


def measure(shapes: np.ndarray, run: Callable[[int], float], seconds: float, *, shuffled: bool) -> CostModel:
    """Return the costs of batches of `shapes`, (batches, 4), from some that are measured within about `seconds`.

    `run` does the batch of a given number and returns its seconds. They are spread evenly over all sizes, and come
    `shuffled`, or the largest first.
    """
    by_size = largest_first(shapes)
    first = max(run(int(by_size[len(by_size) // 2])), 1e-6)
    count = int(np.clip(seconds / first, LEAST, MOST))
    numbers = by_size[np.linspace(0, len(by_size) - 1, count).round().astype(np.int64)]
    if shuffled:
        numbers = np.random.default_rng(0).permutation(numbers)
    return CostModel(shapes[numbers], np.array([run(int(number)) for number in numbers]))

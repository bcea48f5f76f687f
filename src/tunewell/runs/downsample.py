"""Fewer points for a chart, and no spike lost: of each bucket the lowest and the highest value, in their order."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

Edges = list[int]
"""Where the buckets begin, and where the last one ends."""


def edges(first: int, end: int, points: int) -> Edges:
    """Return the edges of buckets over the indexes `first` to `end`: two points come of each.

    Where no more than `points` values are there, each has a bucket of its own (see `is_raw`).
    """
    count = max(0, end - first)
    if count <= points:
        return list(range(first, end + 1))
    buckets = max(1, points // 2)
    return [first + number * count // buckets for number in range(buckets + 1)]


def is_raw(bounds: Edges) -> bool:
    """Whether nothing is left out: each bucket holds one value."""
    return len(bounds) < 2 or bounds[-1] - bounds[0] == len(bounds) - 1


def ends(x: Sequence[float], bounds: Edges) -> list[float]:
    """Return the first and the last x of each bucket; of buckets of one value that value's."""
    if is_raw(bounds):
        return list(x[bounds[0] : bounds[-1]]) if bounds else []
    found: list[float] = []
    for start, stop in pairwise(bounds):
        found += (x[start], x[stop - 1])
    return found


def extremes(values: array[Any], bounds: Edges) -> list[float | None]:
    """Return lowest and highest value of each bucket in the order in which they stand, None where none is finite.

    They stand at the two x that `ends` gives for the bucket.
    """
    if not bounds:
        return []
    if is_raw(bounds):
        return [finite(value) for value in values[bounds[0] : bounds[-1]]]
    found: list[float | None] = []
    for start, stop in pairwise(bounds):
        part = values[start:stop]
        low, high = min(part), max(part)
        if not math.isfinite(low) or not math.isfinite(high) or math.isnan(sum(part)):
            found += _finite_extremes(part)
        elif part.index(low) <= len(part) - 1 - _last(part, high):
            found += (low, high)
        else:
            found += (high, low)
    return found


def finite(value: float | None) -> float | None:
    """Return `value`, or None where it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


def smoothed(values: Sequence[float], half_life: float) -> array[float]:
    """Return the exponential mean of all values so far at each, in which one loses half its weight in `half_life` steps.

    The beginning is not drawn to zero: weights are divided by their sum. Values that are not finite count for nothing.
    """
    keep = 0.5 ** (1.0 / max(half_life, 1e-9))
    mean, weight = 0.0, 0.0
    found = array("d")
    for value in values:
        if math.isfinite(value):
            mean = keep * mean + (1 - keep) * value
            weight = keep * weight + (1 - keep)
        found.append(mean / weight if weight else math.nan)
    return found


def _last(part: array[Any], value: float) -> int:
    """Return how many places before the end `value` stands last."""
    return part[::-1].index(value)


def _finite_extremes(part: array[Any]) -> list[float | None]:
    present = [(value, place) for place, value in enumerate(part) if math.isfinite(value)]
    if not present:
        return [None, None]
    low, high = min(present), max(present)
    return [low[0], high[0]] if low[1] <= high[1] else [high[0], low[0]]

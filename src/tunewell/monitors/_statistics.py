"""Robust numbers over short windows of a curve: plain floats in, plain floats out, microseconds each."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, for normal noise."""


_LARGEST = 1e100


def is_usable(value: float) -> bool:
    """Return whether `value` is a finite number that can be squared and summed without leaving the range of floats."""
    return -_LARGEST < value < _LARGEST


def median(values: Sequence[float]) -> float:
    """Return the median of at least one value."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation as estimated from the median absolute deviation: outliers don't count."""
    middle = median(values)
    return MAD_TO_SIGMA * median([abs(value - middle) for value in values])


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values don't exceed (the nearest one, no interpolation)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean of at least two values."""
    middle = mean(values)
    deviations = math.hypot(*(value - middle for value in values))  # squares alone could overflow
    return deviations / math.sqrt((len(values) - 1) * len(values))


def rank_z(recent: Sequence[float], reference: Sequence[float]) -> float:
    """Return the Mann-Whitney z of `recent` against `reference`: positive where recent values are larger.

    A rank test asks nothing of the noise's shape, so that heavy-tailed losses of small batches are judged as
    fairly as others.
    """
    ordered = sorted(reference)
    n, m = len(recent), len(ordered)
    larger = sum((bisect_left(ordered, value) + bisect_right(ordered, value)) / 2 for value in recent)
    return (larger - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def is_lastingly_above(recent: Sequence[float], reference: Sequence[float], share: float) -> bool:
    """Return whether all but one of `recent` exceed all but `share` of `reference`; no, as a rule, costs nothing."""
    low = sorted(recent)[1]
    left = int(share * len(reference))
    for value in reversed(reference):
        if value >= low:
            left -= 1
            if left < 0:
                return False
    return True


def change_point(values: Sequence[float], level: float) -> int:
    """Return the index from which `values` most clearly stay above `level` (largest sum of excesses to the end)."""
    best, best_sum, total = len(values) - 1, -math.inf, 0.0
    for index in range(len(values) - 1, -1, -1):
        total += values[index] - level
        if total >= best_sum:
            best, best_sum = index, total
    return best


def pushed(window: Sequence[float], value: float, size: int) -> list[float]:
    """Return a new window of the last `size` values, `value` included."""
    return [*window[max(0, len(window) - size + 1) :], value]


def curve(values: Sequence[float]) -> list[float]:
    """Return the last few values, rounded, as a finding's piece of the curve."""
    return [float(f"{value:.4g}") for value in values[-20:]]

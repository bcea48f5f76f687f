"""What two-group splits of rows share: the weighted normal of a group, and how likely it makes a value."""

from __future__ import annotations

import numpy as np

from tunewell.data.checked_rows import Array


def normal(values: Array, weights: Array) -> tuple[float, float]:
    """Return the mean and the standard deviation of `values` (n,) under `weights` (n,)."""
    total = float(weights.sum()) + 1e-9
    middle = float((weights * values).sum()) / total
    return middle, float(np.sqrt((weights * (values - middle) ** 2).sum() / total)) + 1e-3


def log_normal(values: Array, middle: float, width: float) -> Array:
    """Return the log density of `values` (n,) under a normal, up to a constant."""
    result: Array = -((values - middle) ** 2) / (2 * width**2) - np.log(width)
    return result

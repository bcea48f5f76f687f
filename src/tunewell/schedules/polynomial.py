"""Quadratic fall: spends more of the run at low rates than the straight line."""

from __future__ import annotations

import math

POWER = 2.0


def polynomial(progress_step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of update `progress_step` (from 0, after warm-up): the share of the run left, to the `POWER`."""
    left: float = max(0, total_steps - progress_step) / max(1, total_steps - warmup_steps)
    return math.pow(left, POWER)

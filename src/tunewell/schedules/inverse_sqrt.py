"""Inverse square root of the time since warm-up began (Vaswani et al., 2017): decays for ever, needs no known end."""

from __future__ import annotations

import math

TIMESCALE_WITHOUT_WARMUP = 0.1
"""Share of the run taken as the time scale when there is no warm-up to take it from."""


def inverse_sqrt(progress_step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of update `progress_step` (from 0, after warm-up): 1 / √(time in units of the warm-up)."""
    timescale = warmup_steps or max(1.0, TIMESCALE_WITHOUT_WARMUP * total_steps)
    return math.sqrt(timescale / (timescale + progress_step - warmup_steps))

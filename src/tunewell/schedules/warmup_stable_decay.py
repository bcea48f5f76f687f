"""Flat, then a short fall at the end, as 1 - √share (Hägele et al., 2024)."""

from __future__ import annotations

import math

DECAY_SHARE = 0.2
"""Last part of the run in which the rate falls; 10-20 % of a run gives most of what a long decay gives."""


def warmup_stable_decay(progress_step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of update `progress_step` (from 0, after warm-up): 1, and 1 - √share in the last fifth."""
    decay_steps = max(1, min(round(DECAY_SHARE * total_steps), total_steps - warmup_steps))
    into_decay = progress_step - (total_steps - decay_steps)
    return 1 - math.sqrt(min(1.0, max(0, into_decay) / decay_steps))

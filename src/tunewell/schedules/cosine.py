"""Half a cosine wave: stays high for longer than the straight line, then falls faster (Loshchilov & Hutter, 2017)."""

from __future__ import annotations

import math


def cosine(progress_step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of update `progress_step` (from 0, after warm-up): half a cosine from 1 to just above 0."""
    share = min(1.0, (progress_step - warmup_steps) / max(1, total_steps - warmup_steps))
    return 0.5 * (1 + math.cos(math.pi * share))

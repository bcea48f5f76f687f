"""No decay."""

from __future__ import annotations


def constant(progress_step: int, total_steps: int, warmup_steps: int) -> float:
    """Return 1 for every update after warm-up."""
    return 1.0

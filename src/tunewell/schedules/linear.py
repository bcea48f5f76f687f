"""Straight fall: the usual schedule for fine-tuning an encoder."""

from __future__ import annotations


def linear(progress_step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of update `progress_step` (from 0, after warm-up): from 1 straight down to just above 0."""
    return max(0, total_steps - progress_step) / max(1, total_steps - warmup_steps)

"""Step → learning-rate factor: one schedule a file, all with the same warm-up."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

from tunewell.plugins import load

Schedule = Callable[[int, int, int], float]
"""``(progress_step, total_steps, warmup_steps) -> factor``: what follows warm-up, asked only from there on."""


@cache
def _schedule(name: str) -> Schedule:
    return cast(Schedule, load("schedules", name))


def factor(name: str, step: int, total: int, warmup: int) -> float:
    """Return what the peak rate is multiplied by at update `step` of a stage: above 0 and at most 1.

    `step` counts from 0 to `total` - 1. Warm-up rises in equal parts, (step + 1) / (warmup + 1), so that neither
    the first update nor the last is wasted on a rate of 0; update `warmup` is the first at the full rate. At or
    beyond `total` the schedules that end give 0. Raises `RecipeError` if there is no schedule `name`.
    """
    schedule = _schedule(name)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return schedule(step, total, warmup)

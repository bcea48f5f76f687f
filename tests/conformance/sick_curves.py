"""Sick runs for the monitors of curves: one update, swings, one class told for all, classes forgotten."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from traces import changed, healthy

from tunewell.records import Record, Step

ONSET = 300
with_fields = msgspec.structs.replace


def gradient_spike(seed: int) -> list[Record]:
    """One update whose gradient is a thousandfold, after which much of what was learned is gone."""

    def harmed(step: Step) -> Step:
        if step.step == ONSET:
            return with_fields(step, gradient_norm=step.gradient_norm * 1000)
        return with_fields(step, loss=step.loss + 0.25)

    return changed(healthy(seed), harmed, ONSET)


SICK: dict[str, Callable[[int], list[Record]]] = {"gradient_spike": gradient_spike}
LATEST = {"gradient_spike": 310}

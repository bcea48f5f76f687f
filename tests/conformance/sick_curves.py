"""Sick runs for the monitors of curves: one update, swings, one class told for all, classes forgotten."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import msgspec
from traces import PLAIN, changed, healthy

from tunewell.records import Eval, Record, Step

ONSET = 300
with_fields = msgspec.structs.replace


def gradient_spike(seed: int) -> list[Record]:
    """One update whose gradient is a thousandfold, after which much of what was learned is gone."""

    def harmed(step: Step) -> Step:
        if step.step == ONSET:
            return with_fields(step, gradient_norm=step.gradient_norm * 1000)
        return with_fields(step, loss=step.loss + 0.25)

    return changed(healthy(seed), harmed, ONSET)


def oscillation(seed: int) -> list[Record]:
    """The loss swings over twelve updates between what was reached and guessing."""

    def swing(step: Step) -> Step:
        high = math.sin(2 * math.pi * (step.step - ONSET) / 24) > 0
        return with_fields(step, loss=step.loss + 0.22 * high)

    return changed(healthy(seed), swing, ONSET)


def collapse(seed: int) -> list[Record]:
    """In evaluation, all rows are told to be of the first class: training goes on as ever."""

    def guess(record: Record) -> Record:
        if not isinstance(record, Eval) or record.step < ONSET:
            return record
        return with_fields(
            record,
            loss=0.72,
            metrics={"accuracy": 0.5},
            recalls={"0": 1.0, "1": 0.0},
            confusion=[[400, 0], [400, 0]],
        )

    return [guess(record) for record in healthy(seed, replace(PLAIN, eval_every=50))]


def forgetting(seed: int) -> list[Record]:
    """Training rows are of one class only, and the other is told ever worse."""

    def narrow(record: Record) -> Record:
        if isinstance(record, Step) and record.step >= ONSET:
            return with_fields(record, label_counts={"1": record.rows})
        if isinstance(record, Eval) and record.step >= ONSET:
            lost = min(0.7, 0.1 * (1 + (record.step - ONSET) // 50))
            return with_fields(
                record, recalls={"0": 0.8 - lost, "1": 0.95}, metrics={"accuracy": 0.87 - lost / 2}
            )
        return record

    return [narrow(record) for record in healthy(seed, replace(PLAIN, eval_every=50))]


SICK: dict[str, Callable[[int], list[Record]]] = {
    made.__name__: made for made in (gradient_spike, oscillation, collapse, forgetting)
}
LATEST = {"gradient_spike": 310, "oscillation": 376, "collapse": 400, "forgetting": 450}

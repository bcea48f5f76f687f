"""Schedules that end early, and those that only look like it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.schedule_too_fast import ScheduleTooFast
from tunewell.records import Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]

STEPS = 300


def course(
    step: Callable[..., Step],
    look: Look,
    started: Callable[..., Started],
    factor: Callable[[int], float],
    ticks: int = 1,
) -> list[Record]:
    records: list[Record] = [started(total_steps=STEPS)]
    for number in range(1, STEPS + 1):
        records.append(step(number, learning_rate=1e-3 * factor(number - 1)))
        if 1 < number < 4 or number % 20 == 0:
            records.append(look(number, schedule_ticks=ticks))
    return records


def cosine(step: float, length: float = STEPS) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / length)))


def linear(step: float, length: float = STEPS, warmup: int = 30) -> float:
    return min((step + 1) / warmup, max(0.0, (length - step) / (length - warmup)))


@pytest.mark.parametrize("ticks", [2, 4, 8])
@pytest.mark.parametrize("shape", [cosine, linear])
def test_ticks_by_micro_batch_are_told_within_a_quarter_of_the_run(
    ticks: int,
    shape: Callable[[float], float],
    step: Callable[..., Step],
    look: Look,
    started: Callable[..., Started],
    found: Found,
) -> None:
    first = found(ScheduleTooFast(), course(step, look, started, lambda n: shape(ticks * n), ticks))[0]
    assert first.step <= STEPS / 4
    assert first.evidence["factor"] == ticks
    assert first.evidence["ends_at"] < 0.8 * STEPS


HEALTHY: dict[str, Callable[[int], float]] = {
    "cosine": cosine,
    "linear with warm-up": linear,
    "constant": lambda n: 1.0,
    "tenths": lambda n: 0.1 ** (n // 80),
    "exponential": lambda n: 0.98**n,
    "restarts": lambda n: cosine(n % 100, 100),
    "early decay to a tenth": lambda n: max(0.1, 1 - n / 100),
    "stable, then down": lambda n: min(1.0, (STEPS - n) / 60),
    "squared": lambda n: (1 - n / STEPS) ** 2,
}


@pytest.mark.parametrize("name", HEALTHY)
def test_schedules_that_last_are_silent(
    name: str, step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    assert found(ScheduleTooFast(), course(step, look, started, HEALTHY[name])) == []


def test_ticks_that_the_schedule_was_planned_for_are_fine(
    step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    assert found(ScheduleTooFast(), course(step, look, started, cosine, ticks=4)) == []


def test_a_rate_of_nothing_is_told_though_nobody_counts_the_ticks(
    step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    first = found(ScheduleTooFast(), course(step, look, started, lambda n: linear(n, 120), ticks=0))[0]
    assert 120 < first.step <= 140
    assert first.evidence["onset"] == 1

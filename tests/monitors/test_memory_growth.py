"""Memory: growing without end, settling, and noisy."""

from __future__ import annotations

import random
from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.memory_growth import MemoryGrowth
from tunewell.records import Finding, Record, Started

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def course(
    look: Look, started: Callable[..., Started], held: Callable[[int], float], limit: float | None = 16e9
) -> list[Record]:
    looks = [
        look(n, memory_bytes=int(held(n)), memory_limit=None if limit is None else int(limit))
        for n in (1, 2, 3, *range(20, 1000, 20))
    ]
    return [started(total_steps=1000), *looks]


def test_growth_that_reaches_the_limit_is_told_early(
    look: Look, started: Callable[..., Started], found: Found
) -> None:
    first = found(MemoryGrowth(), course(look, started, lambda n: 4e9 + 20e6 * n))[0]
    assert first.step == 120
    assert 550 < first.evidence["full_at"] < 650


def test_growth_that_ends_in_time_is_fine(look: Look, started: Callable[..., Started], found: Found) -> None:
    assert found(MemoryGrowth(), course(look, started, lambda n: 4e9 + 2e6 * n)) == []
    assert found(MemoryGrowth(), course(look, started, lambda n: 4e9 + 8e9 * (1 - 0.97**n))) == []
    assert (
        found(MemoryGrowth(), course(look, started, lambda n: 14e9 + random.Random(n).random() * 1e9)) == []
    )


def test_without_a_limit_it_is_blind(look: Look, started: Callable[..., Started]) -> None:
    monitor = MemoryGrowth()
    state = monitor.init()
    for record in course(look, started, lambda n: 4e9 + 20e6 * n, limit=None):
        state, _ = monitor.update(state, record)
    assert monitor.verdict(state).kind == "blind"

"""Bounded activations at their bounds: harmful only where nothing is learned."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.saturation import Saturation
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def course(step: Callable[..., Step], look: Look, losses: Callable[[int], float]) -> list[Record]:
    records: list[Record] = []
    for number in range(1, 81):
        records.append(step(number, loss=losses(number)))
        if number % 10 == 0:
            records.append(look(number, saturated_units={"pooler.tanh": 0.95}))
    return records


def test_a_pooler_at_its_bounds_is_fine_while_the_run_learns(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    assert found(Saturation(), course(step, look, lambda n: 0.7 * 0.98**n)) == []


def test_it_is_told_where_the_loss_stands(step: Callable[..., Step], look: Look, found: Found) -> None:
    first = found(Saturation(), course(step, look, lambda n: 0.7 + 0.02 * (n % 2)))[0]
    assert first.step == 40
    assert first.evidence["onset"] == 10

"""Silent units: a layer that is off, or the rest that many networks have."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.dead_units import DeadUnits
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def course(
    step: Callable[..., Step], look: Look, silent: float, losses: Callable[[int], float], last: int = 80
) -> list[Record]:
    records: list[Record] = []
    for number in range(1, last + 1):
        records.append(step(number, loss=losses(number)))
        if number < 4 or number % 20 == 0:
            records.append(look(number, silent_units={"block.relu": silent, "other.relu": 0.1}))
    return records


def test_a_layer_that_is_off_is_told_at_the_third_look(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    first = found(DeadUnits(), course(step, look, 1.0, lambda n: 0.69))[0]
    assert first.step == 3
    assert first.evidence["layers"] == ["block"]


def test_sparse_units_in_a_run_that_learns_are_healthy(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    assert found(DeadUnits(), course(step, look, 0.85, lambda n: 2.0 * 0.97**n)) == []


def test_mostly_silent_units_in_a_run_that_does_not_learn_are_told(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    assert found(DeadUnits(), course(step, look, 0.85, lambda n: 0.69 + 0.01 * (n % 3)))[0].step == 40


def test_half_of_the_units_is_what_deep_networks_begin_with(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    assert found(DeadUnits(), course(step, look, 0.55, lambda n: 0.69)) == []

"""First losses: fresh, trained before, weighted, and far too large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunewell.inspections import Inspected, Tested
from tunewell.monitors import Monitor
from tunewell.monitors.bad_initialization import BadInitialization
from tunewell.records import Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def course(
    step: Callable[..., Step],
    look: Look,
    loss: Callable[[int], float],
    *,
    unit: float = 1.0,
    rows: int = 32,
    **fields: Any,
) -> list[Record]:
    usual = {"guessing_loss": 2.303, "num_outputs": 10, "output_gain": 0.6, "output_layer": "head"}
    records: list[Record] = []
    for number in range(1, 101):
        records.append(step(number, loss=unit * loss(number), rows=rows))
        if number < 4 or number % 20 == 0:
            records.append(look(number, mean_loss=loss(number), **(usual | fields)))
    return records


def test_a_head_that_is_far_too_large_is_told_at_the_first_look(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    first = found(BadInitialization(), course(step, look, lambda n: 40 * 0.97**n, output_gain=58.0))[0]
    assert first.step == 1
    assert first.evidence["layers"] == ["head"]
    assert first.evidence["factor"] > 15


def test_one_that_nothing_is_known_of_is_told_when_the_loss_stays_high(
    step: Callable[..., Step], look: Look, started: Callable[..., Started], found: Found
) -> None:
    records = course(step, look, lambda n: 40 * 0.97**n, output_gain=None)
    assert found(BadInitialization(), [started(total_steps=300), *records])[0].step == 76


def test_a_model_trained_on_other_answers_soon_learns(
    step: Callable[..., Step], look: Look, found: Found
) -> None:
    assert found(BadInitialization(), course(step, look, lambda n: 9 * 0.8**n, output_gain=3.0)) == []


def test_a_fresh_head_is_near_guessing(step: Callable[..., Step], look: Look, found: Found) -> None:
    assert found(BadInitialization(), course(step, look, lambda n: 2.9 - 0.01 * n)) == []


def test_the_objective_may_have_any_unit(step: Callable[..., Step], look: Look, found: Found) -> None:
    assert found(BadInitialization(), course(step, look, lambda n: 2.4, unit=20.0)) == []


def test_two_rows_may_be_hard_by_chance(step: Callable[..., Step], look: Look, found: Found) -> None:
    assert found(BadInitialization(), course(step, look, lambda n: 5.5, rows=2, output_gain=9.0)) == []


def test_a_self_test_knows_the_first_loss_too(
    step: Callable[..., Step], started: Callable[..., Started]
) -> None:
    monitor = BadInitialization()
    state, _ = monitor.update(monitor.init(), started())
    numbers = {"loss": 0.7, "expected": 0.693, "standard_error": 0.01}
    state, _ = monitor.update(state, Tested(name="first_loss", passed=True, detail="", numbers=numbers))
    assert monitor.verdict(state).kind == "fine"

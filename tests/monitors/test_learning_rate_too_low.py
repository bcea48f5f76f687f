"""Small steps: too small for the run, careful, converged, or at a schedule's end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tunewell.monitors import Monitor
from tunewell.monitors.learning_rate_too_low import LearningRateTooLow
from tunewell.records import Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]


def course(
    step: Callable[..., Step],
    started: Callable[..., Started],
    ratio: Callable[[int], float],
    loss: Callable[[int], float],
    steps: int = 300,
) -> list[Record]:
    records: list[Record] = [started(total_steps=steps)]
    for number in range(1, steps + 1):
        moved = {"body": ratio(number), "head": 2 * ratio(number)} if number % 20 == 0 or number < 4 else None
        records.append(step(number, loss=loss(number), layer_updates=moved, layer_gradients=moved))
    return records


def standing(number: int) -> float:
    return 0.7 - 1e-5 * number + 0.01 * (number % 3)


def test_a_thousandth_of_the_rate_is_told_within_a_quarter_of_the_run(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    first = found(LearningRateTooLow(), course(step, started, lambda n: 1e-6, standing))[0]
    assert first.step <= 75
    assert first.evidence["factor"] == pytest.approx(1000, rel=0.5)


def test_in_a_short_run_more_is_too_little(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    assert found(LearningRateTooLow(), course(step, started, lambda n: 3e-5, standing))
    assert found(LearningRateTooLow(), course(step, started, lambda n: 3e-5, standing, steps=5000)) == []


HEALTHY: dict[str, tuple[Callable[[int], float], Callable[[int], float]]] = {
    "careful and learning": (lambda n: 2e-5, lambda n: 2.3 * 0.99**n),
    "slow to begin": (lambda n: 7e-4, standing),
    "converged": (lambda n: 1e-2 * 0.8**n, lambda n: 0.01 + 0.001 * (n % 3)),
    "the end of a schedule": (lambda n: 1e-3 * max(0.0, 1 - n / 250), standing),
    "nearly nothing left to learn": (lambda n: 1e-6, lambda n: 0.02 + 0.001 * (n % 3)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_runs_are_silent(
    name: str, step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    assert found(LearningRateTooLow(), course(step, started, *HEALTHY[name])) == []


def test_it_is_blind_where_updates_are_not_measured(
    step: Callable[..., Step], started: Callable[..., Started]
) -> None:
    monitor = LearningRateTooLow()
    state = monitor.init()
    for record in [started(), *(step(number) for number in range(1, 200))]:
        state, _ = monitor.update(state, record)
    assert monitor.verdict(state).kind == "blind"

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tunewell.monitors import Monitor
from tunewell.monitors.loss_spike import LossSpike
from tunewell.records import Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]


@pytest.fixture
def usual(step: Callable[..., Step], started: Callable[..., Started]) -> list[Record]:
    rng = random.Random(0)
    return [started(), *(step(number, loss=max(0.05, rng.gauss(0.3, 0.08))) for number in range(1, 101))]


def test_one_very_high_batch_names_its_row(
    usual: list[Record], step: Callable[..., Step], found: Found
) -> None:
    spike = step(101, loss=15.0, worst_rows=[(1204, 15.0 * 32 * 0.97)])
    (one,) = found(LossSpike(), [*usual, spike, step(102)])
    assert one.severity == "warning"
    assert one.rows == [1204]
    assert "row 1204 made 97% of it" in one.summary
    assert not one.evidence["sustained"]


def test_a_batch_that_a_factor_made_dear_is_told_though_its_targets_cost_no_more(
    usual: list[Record], step: Callable[..., Step], found: Found
) -> None:
    (one,) = found(LossSpike(), [*usual, step(101, loss=0.3, given=15.0), step(102)])
    assert (one.step, one.severity, one.rows) == (101, "warning", [])
    assert "a weight or a factor made it" in one.summary


def test_a_high_batch_that_heals_is_info_at_most(
    usual: list[Record], step: Callable[..., Step], found: Found
) -> None:
    assert [one.severity for one in found(LossSpike(), [*usual, step(101, loss=2.0), step(102)])] == ["info"]
    assert found(LossSpike(), [*usual, step(101, loss=0.9), step(102)]) == []


def test_one_wrong_row_of_a_batch_of_two_is_no_spike(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    usual = [
        started(),
        *(step(number, loss=0.005 + 0.001 * (number % 5), rows=2) for number in range(1, 101)),
    ]
    assert found(LossSpike(), [*usual, step(101, loss=1.3, rows=2), step(102, loss=0.005, rows=2)]) == []
    assert found(LossSpike(), [*usual, step(101, loss=1.3, rows=32), step(102, loss=0.005, rows=2)])


def test_a_lasting_rise_is_told_within_six_updates_and_names_the_leap_of_the_rate(
    usual: list[Record], step: Callable[..., Step], found: Found
) -> None:
    high: list[Record] = [step(number, loss=1.2, learning_rate=1e-2) for number in range(101, 110)]
    first = next(one for one in found(LossSpike(), [*usual, *high]) if one.evidence["sustained"])
    assert first.step <= 106
    assert first.evidence["onset"] == 101
    assert "100 times its highest before at step 101" in first.causes[0]


def test_growth_of_a_tiny_loss_is_no_fault(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    tiny: list[Record] = [step(number, loss=0.0005) for number in range(1, 101)]
    grown: list[Record] = [step(number, loss=0.05) for number in range(101, 140)]
    assert found(LossSpike(), [started(), step(1, loss=0.7), *tiny, *grown]) == []

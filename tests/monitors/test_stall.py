from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.stall import Stall
from tunewell.records import Finding, Record, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]


@pytest.fixture
def usual(step: Callable[..., Step]) -> list[Record]:
    rng = random.Random(0)
    return [step(number, seconds=0.2 * (1 + 4 * (rng.random() < 0.05))) for number in range(1, 101)]


@pytest.mark.parametrize(
    ("seconds", "severity"), [(0.9, None), (4.9, None), (12.0, "info"), (90.0, "warning")]
)
def test_one_wait(
    usual: list[Record], step: Callable[..., Step], found: Found, seconds: float, severity: str | None
) -> None:
    findings = found(Stall(), [*usual, step(101, seconds=seconds)])
    assert [one.severity for one in findings] == ([] if severity is None else [severity])


def test_lasting_slowness_says_whether_it_was_the_data(
    usual: list[Record], step: Callable[..., Step], found: Found
) -> None:
    slow = [step(number, seconds=2.0, data_seconds=1.8) for number in range(101, 120)]
    one = found(Stall(), [*usual, *slow])[0]
    assert one.severity == "warning"
    assert one.step <= 115
    assert one.evidence["data_share"] > 0.5
    assert "storage" in one.causes[0]


@pytest.mark.parametrize(("frozen", "findings"), [([], 0), (["embeddings", "encoder"], 1)])
def test_more_layers_that_train_take_longer(
    step: Callable[..., Step], found: Found, frozen: list[str], findings: int
) -> None:
    head = [
        Inspected(step=1, frozen=["embeddings", "encoder"]),
        *(step(n, seconds=0.2) for n in range(1, 61)),
    ]
    whole = [step(n, seconds=1.5) for n in range(61, 100)]
    told = found(Stall(), [*head, whole[0], Inspected(step=61, frozen=frozen), *whole[1:]])
    assert len({one.code for one in told}) == findings


def test_quick_steps_may_become_several_times_slower(step: Callable[..., Step], found: Found) -> None:
    quick = [step(number, seconds=0.002) for number in range(1, 101)]
    slower = [step(number, seconds=0.02) for number in range(101, 150)]
    assert found(Stall(), [*quick, *slower]) == []

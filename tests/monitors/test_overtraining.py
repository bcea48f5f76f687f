from __future__ import annotations

from collections.abc import Callable

import pytest

from tunewell.monitors import Monitor
from tunewell.monitors.overtraining import Overtraining
from tunewell.monitors.plateau import Plateau
from tunewell.records import Eval, Finding, Record, StageBegan

Found = Callable[[Monitor, list[Record]], list[Finding]]


@pytest.fixture
def scores(evaluation: Callable[..., Eval]) -> Callable[[list[float]], list[Record]]:
    return lambda values: [evaluation(100 * n, loss=0.5, accuracy=score) for n, score in enumerate(values, 1)]


def test_patience_counts_evaluations_without_gain(scores: Callable[..., list[Record]], found: Found) -> None:
    monitor = Overtraining(metric="accuracy", patience=2)
    (one,) = found(monitor, scores([0.8, 0.82, 0.82, 0.81, 0.80]))
    assert one.step == 400
    assert one.evidence["best_step"] == 200
    assert found(monitor, scores([0.8, 0.79, 0.81, 0.80, 0.82])) == []


def test_a_gain_up_to_the_threshold_is_none(scores: Callable[..., list[Record]], found: Found) -> None:
    creeping = scores([0.80, 0.805, 0.806, 0.807])
    assert found(Overtraining(metric="accuracy", patience=3), creeping) == []
    assert len(found(Overtraining(metric="accuracy", patience=3, threshold=0.01), creeping)) == 1


def test_of_a_loss_less_is_better(evaluation: Callable[..., Eval], found: Found) -> None:
    rising: list[Record] = [evaluation(n, loss=0.3 + n / 10) for n in range(1, 4)]
    falling: list[Record] = [evaluation(n, loss=0.9 - n / 10) for n in range(1, 4)]
    assert len(found(Overtraining(patience=2), rising)) == 1
    assert found(Overtraining(patience=2), falling) == []


def test_plateau_is_told_again_after_each_wait(scores: Callable[..., list[Record]], found: Found) -> None:
    findings = found(Plateau(metric="accuracy", patience=2), scores([0.8] * 6))
    assert [one.step for one in findings] == [300, 500]


def test_a_new_stage_gets_patience_of_its_own(scores: Callable[..., list[Record]], found: Found) -> None:
    flat = scores([0.8, 0.8, 0.8, 0.8])
    stage = StageBegan(
        step=250,
        stage=1,
        name="all",
        trainable_parameters=9,
        total_parameters=9,
        first_step=250,
        last_step=500,
    )
    assert len(found(Overtraining(metric="accuracy", patience=3), flat)) == 1
    assert found(Overtraining(metric="accuracy", patience=3), [*flat[:2], stage, *flat[2:]]) == []

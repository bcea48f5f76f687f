from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tunewell.monitors import Monitor
from tunewell.monitors.overfitting import Overfitting
from tunewell.records import Eval, Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
BY_ACCURACY = Overfitting(metric="accuracy")


def test_told_once_a_best_with_both_curves(evaluation: Callable[..., Eval], found: Found) -> None:
    records: list[Record] = [
        evaluation(100, loss=0.40, accuracy=0.84, train_loss=0.35),
        evaluation(200, loss=0.50, accuracy=0.83, train_loss=0.20),
        evaluation(300, loss=0.62, accuracy=0.82, train_loss=0.10),
        evaluation(400, loss=0.80, accuracy=0.81, train_loss=0.05),
    ]
    (one,) = found(BY_ACCURACY, records)
    assert one.step == 300
    assert one.evidence["onset"] == 100
    assert "from 0.35 to 0.1" in one.summary
    assert "from 0.4 to 0.62" in one.summary


def test_a_rising_loss_with_a_rising_score_is_silent(evaluation: Callable[..., Eval], found: Found) -> None:
    records: list[Record] = [
        evaluation(100 * n, loss=0.40 + 0.1 * n, accuracy=0.80 + 0.01 * n, train_loss=0.4 / n)
        for n in range(1, 8)
    ]
    assert found(BY_ACCURACY, records) == []


def test_a_small_rise_after_convergence_is_silent(evaluation: Callable[..., Eval], found: Found) -> None:
    records: list[Record] = [
        evaluation(100 * n, loss=0.40 + 0.02 * n, accuracy=0.84, train_loss=0.4 / n) for n in range(1, 7)
    ]
    assert found(BY_ACCURACY, records) == []


def test_without_a_gap_it_is_another_fault(evaluation: Callable[..., Eval], found: Found) -> None:
    records: list[Record] = [
        evaluation(100 * n, loss=0.40 * 1.3**n, accuracy=0.84 - 0.02 * n, train_loss=0.35) for n in range(6)
    ]
    assert found(BY_ACCURACY, records) == []


@pytest.fixture
def often(step: Callable[..., Step], started: Callable[..., Started]) -> Callable[..., list[Record]]:
    """Make a run with evaluations (validation loss, training loss, accuracy), `passes` over the rows before each."""

    def make(*measured: tuple[float, float, float], passes: int = 5, classes: int = 6) -> list[Record]:
        records: list[Record] = [
            started(num_classes=classes, class_counts={}, num_rows={"train": 64, "validation": 400})
        ]
        for number, (loss, train_loss, accuracy) in enumerate(measured, start=1):
            first = 2 * passes * (number - 1) + 1
            records += [step(one, rows=32) for one in range(first, first + 2 * passes)]
            records.append(
                Eval(
                    step=10 * number, epoch=1.0 * passes * number, split="validation", loss=loss,
                    metrics={"accuracy": accuracy}, rows=400, seconds=0.1, train_loss=train_loss,
                )
            )  # fmt: skip
        return records

    return make


def test_far_too_sure_of_rows_seen_many_times(often: Callable[..., list[Record]], found: Found) -> None:
    measured = (1.21, 0.33, 0.555), (1.22, 0.16, 0.54), (1.28, 0.07, 0.55)
    (one,) = found(Overfitting(), often(*measured))
    assert (one.step, one.evidence["onset"]) == (30, 10)
    assert (
        found(Overfitting(), often(*measured, passes=1)) == []
    )  # of rows seen three times it is not known yet
    within_noise = (1.21, 0.33, 0.555), (1.22, 0.16, 0.54), (1.25, 0.07, 0.55)
    assert found(Overfitting(), often(*within_noise)) == []


def test_far_too_sure_though_the_score_gains(often: Callable[..., list[Record]], found: Found) -> None:
    """As of tokens: no classes, so that the first losses say what guessing costs."""
    few = often((1.55, 1.30, 0.48), (1.56, 0.75, 0.54), (1.78, 0.30, 0.58), classes=0)
    few = [msgspec.structs.replace(one, loss=2.7) if isinstance(one, Step) else one for one in few]
    assert [one.step for one in found(Overfitting(), few)] == [30]


def test_sure_of_right_answers_beside_a_few_wrong_targets(
    often: Callable[..., list[Record]], found: Found
) -> None:
    """Learned by heart, but the score is near its best and far above that of the lowest loss."""
    wrong = (0.92, 0.44, 0.82), *[(1.11, 0.06, 0.92), (1.12, 0.05, 0.915)] * 3
    assert found(Overfitting(), often(*wrong)) == []


def test_at_once_after_many_passes_if_the_score_falls_surely(
    often: Callable[..., list[Record]], found: Found
) -> None:
    jump = (0.38, 0.44, 0.87), (0.62, 0.22, 0.78)
    assert [one.step for one in found(Overfitting(), often(*jump))] == [20]
    assert found(Overfitting(), often(*jump, passes=2)) == []


def test_one_swing_is_not_lasting_harm(often: Callable[..., list[Record]], found: Found) -> None:
    """The evaluation before the swing was above the lowest loss, but its score was well and its gap small."""
    swing = (0.282, 0.397, 0.909), (0.283, 0.325, 0.914), (0.311, 0.363, 0.909), (0.554, 0.22, 0.849)
    assert found(Overfitting(), often(*swing, passes=1)) == []


def test_a_rise_of_next_to_nothing_is_silent(often: Callable[..., list[Record]], found: Found) -> None:
    assert found(Overfitting(), often((0.011, 0.008, 1.0), (0.03, 0.002, 0.995), (0.06, 0.001, 0.993))) == []

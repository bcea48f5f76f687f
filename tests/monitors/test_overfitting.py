from __future__ import annotations

from collections.abc import Callable

from tunewell.monitors import Monitor
from tunewell.monitors.overfitting import Overfitting
from tunewell.records import Eval, Finding, Record

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

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors.class_imbalance import ClassImbalance
from tunewell.records import Eval


def checked(counts: dict[str, int], reweighted: bool = False) -> DataChecked:
    numbers = {name: float(count) for name, count in counts.items()}
    balance = DataCheck(of=sum(counts.values()), numbers={"reweighted": float(reweighted)})
    return DataChecked(checks={"classes": DataCheck(numbers=numbers), "balance": balance})


def evaluated(recalls: dict[str, float]) -> Eval:
    return Eval(
        step=100, epoch=1.0, split="validation", loss=0.3, metrics={"accuracy": 0.9}, rows=400, seconds=1.0,
        recalls=recalls, class_rows={"many": 380, "few": 20},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("few", "severity"), [(20, "warning"), (50, "warning"), (80, "info"), (200, None), (1000, None)]
)
def test_told_at_the_first_update(
    few: int, severity: str | None, step: Callable[..., Any], found: Callable[..., list]
) -> None:
    findings = found(ClassImbalance(), [checked({"many": 1000, "few": few}), step(1), step(2)])
    assert [one.severity for one in findings] == ([severity] if severity else [])
    assert all(one.step == 1 for one in findings)


def test_a_weighted_loss_is_silent(step: Callable[..., Any], found: Callable[..., list]) -> None:
    assert found(ClassImbalance(), [checked({"many": 1000, "few": 20}, reweighted=True), step(1)]) == []


def test_batches_drawn_evenly_are_silent(step: Callable[..., Any], found: Callable[..., list]) -> None:
    records = [checked({"many": 1000, "few": 20}), step(1, label_counts={"many": 14, "few": 18})]
    assert found(ClassImbalance(), records) == []
    as_they_are = [checked({"many": 1000, "few": 20}), step(1, label_counts={"many": 31, "few": 1})]
    assert len(found(ClassImbalance(), as_they_are)) == 1


def test_harm_is_told_where_the_small_class_is_missed(
    step: Callable[..., Any], found: Callable[..., list]
) -> None:
    data = checked({"many": 1000, "few": 70})
    first, second = found(ClassImbalance(), [data, step(1), evaluated({"many": 0.98, "few": 0.1})])
    assert (first.severity, second.severity) == ("info", "warning")
    assert "10% of `few` are told rightly" in second.summary
    learned = [data, step(1), evaluated({"many": 0.98, "few": 0.6})]
    assert [one.severity for one in found(ClassImbalance(), learned)] == ["info"]


def test_nothing_learned_yet_is_another_matter(step: Callable[..., Any], found: Callable[..., list]) -> None:
    records = [checked({"many": 1000, "few": 70}), step(1), evaluated({"many": 0.3, "few": 0.1})]
    assert [one.severity for one in found(ClassImbalance(), records)] == ["info"]


def test_counts_of_the_start_will_do(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    (one,) = found(ClassImbalance(), [started(class_counts={"no": 5000, "yes": 100}), step(1)])
    assert "50:1" in one.summary

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors.shifted_labels import ShiftedLabels
from tunewell.records import Eval


def signal(**numbers: float) -> DataChecked:
    usual = {
        "accuracy": 0.8, "chance": 0.25, "standard_error": 0.01, "shifted_by": 1.0, "shifted_accuracy": 0.26,
        "held_out_accuracy": 0.8, "class_shifted_by": 1.0, "class_shifted_accuracy": 0.05, "held_out_rows": 400.0,
    }  # fmt: skip
    return DataChecked(checks={"signal": DataCheck(of=2000, numbers=usual | numbers)})


def aligned(offset: float, share: float = 1.0) -> DataChecked:
    return DataChecked(
        checks={"alignment": DataCheck(of=100, numbers={"offset": offset, "share": share, "next": 0.1})}
    )


def evaluated(confusion: list[list[int]]) -> Eval:
    names = [str(k) for k in range(len(confusion))]
    return Eval(
        step=50, epoch=1.0, split="validation", loss=3.0, metrics={}, rows=400, seconds=1.0, confusion=confusion,
        recalls=dict.fromkeys(names, 0.1), class_rows=dict.fromkeys(names, 100),
    )  # fmt: skip


def test_a_row_further(found: Callable[..., list]) -> None:
    (one,) = found(ShiftedLabels(), [signal(accuracy=0.26, shifted_accuracy=0.79)])
    assert one.step == 1
    assert "0.79 if each belongs to the row after" in one.summary


def test_a_class_further(found: Callable[..., list]) -> None:
    (one,) = found(ShiftedLabels(), [signal(held_out_accuracy=0.05, class_shifted_accuracy=0.8)])
    assert "right on 5% of the validation rows, and on 80%" in one.summary


@pytest.mark.parametrize(
    "record",
    [
        signal(),
        signal(accuracy=0.6, shifted_accuracy=0.62),
        signal(accuracy=0.75, shifted_accuracy=0.8),
        signal(accuracy=0.25, shifted_accuracy=0.29),
    ],
)
def test_no_clear_win_is_silent(record: DataChecked, found: Callable[..., list]) -> None:
    assert found(ShiftedLabels(), [record]) == []


@pytest.mark.parametrize(("offset", "count"), [(-1.0, 1), (0.0, 0), (1.0, 0), (2.0, 1)])
def test_tokens_that_are_not_the_next_ones(offset: float, count: int, found: Callable[..., list]) -> None:
    assert len(found(ShiftedLabels(), [aligned(offset)])) == count
    assert found(ShiftedLabels(), [aligned(offset, share=0.4)]) == []


def test_tokens_that_need_only_be_copied(
    started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list]
) -> None:
    copying = [step(n, loss=3.0 * 0.8**n) for n in range(1, 60)]
    assert len(found(ShiftedLabels(), [started(num_classes=0), aligned(0.0), *copying])) == 1
    assert found(ShiftedLabels(), [started(num_classes=0), aligned(1.0), *copying]) == []


MOVED = [[5, 90, 5, 0], [0, 5, 92, 3], [2, 0, 6, 92], [88, 6, 6, 0]]
SCATTERED = [[40, 30, 20, 10], [20, 40, 20, 20], [30, 10, 40, 20], [10, 10, 40, 40]]
COLLAPSED = [[0, 100, 0, 0], [0, 100, 0, 0], [0, 100, 0, 0], [0, 100, 0, 0]]


@pytest.mark.parametrize(
    ("confusion", "loss", "count"),
    [(MOVED, 0.2, 1), (MOVED, 1.4, 0), (SCATTERED, 0.2, 0), (COLLAPSED, 0.2, 0)],
)
def test_validation_rows_taken_for_one_other_class(
    confusion: list[list[int]], loss: float, count: int, started: Callable[..., Any], step: Callable[..., Any], found: Callable[..., list],
) -> None:  # fmt: skip
    learned = [step(n, loss=loss) for n in range(1, 21)]
    findings = found(ShiftedLabels(), [started(num_classes=4), *learned, evaluated(confusion)])
    assert len(findings) == count
    if findings:
        assert "`0` as `1`" in findings[0].summary


def test_the_tokens_of_the_row_before(found: Callable[..., list]) -> None:
    numbers = {"offset": 1.0, "share": 0.1, "next": 0.1, "own": 0.0, "elsewhere": 1.0, "by_chance": 0.1}
    moved = {"shifted": 0.99, "shifted_by": -1.0}
    record = DataChecked(checks={"alignment": DataCheck(of=100, numbers=numbers | moved)})
    (one,) = found(ShiftedLabels(), [record])
    assert "99% of the rows the targets are the tokens of the row before it" in one.summary
    still = DataChecked(
        checks={"alignment": DataCheck(of=100, numbers=numbers | {"shifted": 0.1, "shifted_by": 1.0})}
    )
    assert found(ShiftedLabels(), [still]) == []

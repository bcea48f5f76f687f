from __future__ import annotations

from collections.abc import Callable

import pytest

from tunewell.inspections import DataCheck, DataChecked, RowsReviewed, Suspect
from tunewell.monitors.label_noise import LabelNoise


def reviewed(
    suspects: int, expected: float, estimate: float | None, step: int = 100, rows: int = 1000
) -> RowsReviewed:
    named = [Suspect(row=row, confidence=0.9, given="no", suggested="yes") for row in range(suspects)]
    return RowsReviewed(
        step=step, epoch=1, rows=rows, suspects=named, expected=expected, estimate=estimate, file="review.csv"
    )


@pytest.mark.parametrize(
    ("count", "estimate", "severity"), [(280, 0.3, "warning"), (90, 0.1, "warning"), (35, 0.04, "info")]
)
def test_told_by_their_share(count: int, estimate: float, severity: str, found: Callable[..., list]) -> None:
    (one,) = found(LabelNoise(), [reviewed(count, 0.1 * count, estimate)])
    assert one.severity == severity
    assert f"About {estimate:.0%} of 1,000 training rows" in one.summary
    assert "review.csv" in one.summary
    assert one.rows == list(range(count))


@pytest.mark.parametrize(
    "record",
    [reviewed(0, 0.0, 0.0), reviewed(6, 3.0, 0.005), reviewed(12, 10.0, 0.1), reviewed(50, 5.0, None)],
)
def test_hard_rows_are_silent(record: RowsReviewed, found: Callable[..., list]) -> None:
    assert found(LabelNoise(), [record]) == []


def test_told_again_only_if_it_is_worse(found: Callable[..., list]) -> None:
    records = [reviewed(40, 4.0, 0.04), reviewed(45, 4.0, 0.045, 200), reviewed(150, 9.0, 0.16, 400), reviewed(160, 9.0, 0.17, 800)]  # fmt: skip
    assert [(one.step, one.severity) for one in found(LabelNoise(), records)] == [
        (100, "info"),
        (400, "warning"),
    ]


def test_a_review_without_an_estimate_is_blind() -> None:
    state, _ = LabelNoise().update(LabelNoise().init(), reviewed(0, 0.0, None))
    assert LabelNoise().verdict(state).kind == "blind"
    state, _ = LabelNoise().update(LabelNoise().init(), reviewed(0, 0.0, 0.0))
    assert LabelNoise().verdict(state).kind == "fine"


def test_clearly_more_rows_are_told_as_an_info(found: Callable[..., list]) -> None:
    records = [reviewed(100, 9.0, 0.3), reviewed(110, 9.0, 0.3, 200), reviewed(280, 9.0, 0.3, 400)]
    first, second = found(LabelNoise(), records)
    assert (first.severity, second.severity) == ("warning", "info")
    assert second.step == 400
    assert len(second.rows) == 280


def test_targets_that_are_not_their_rows_tokens_are_told_at_once(found: Callable[..., list]) -> None:
    check = DataCheck(count=300, of=1000, rows=list(range(300)), numbers={"own": 0.7})
    data = DataChecked(checks={"alignment": check})
    (one,) = found(LabelNoise(), [data, reviewed(280, 9.0, 0.3)])
    assert (one.step, one.severity) == (1, "warning")
    assert one.rows == list(range(300))
    assert (
        "300 are named (their targets are not the tokens of their own inputs, such as row 0's)" in one.summary
    )
    right = DataCheck(of=1000, numbers={"own": 1.0})
    assert found(LabelNoise(), [DataChecked(checks={"alignment": right})]) == []

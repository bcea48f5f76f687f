from __future__ import annotations

from collections.abc import Callable

import pytest

from tunewell.inspections import RowsReviewed, Suspect
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

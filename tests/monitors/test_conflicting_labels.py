from __future__ import annotations

from collections.abc import Callable

import pytest

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors.conflicting_labels import ConflictingLabels


def checked(count: int, expected: float = 0.0) -> DataChecked:
    numbers = {"inputs": count / 2, "expected": expected}
    return DataChecked(checks={"conflicts": DataCheck(count=count, of=1000, rows=[1, 2], numbers=numbers)})


@pytest.mark.parametrize(
    ("record", "severity"),
    [(checked(100), "warning"), (checked(20), "info"), (checked(800, expected=700.0), "info")],
)
def test_told_by_their_share(record: DataChecked, severity: str, found: Callable[..., list]) -> None:
    (one,) = found(ConflictingLabels(), [record])
    assert one.severity == severity
    assert one.rows == [1, 2]


def test_a_few_are_silent(found: Callable[..., list]) -> None:
    assert found(ConflictingLabels(), [checked(2)]) == []

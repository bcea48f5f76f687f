from __future__ import annotations

from collections.abc import Callable

import pytest

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors.duplicates import Duplicates


def checked(count: int, expected: float = 0.0, near: float = 0.0) -> DataChecked:
    numbers = {"near": near, "expected": expected}
    rows = list(range(min(count, 1000)))
    return DataChecked(checks={"duplicates": DataCheck(count=count, of=1000, rows=rows, numbers=numbers)})


@pytest.mark.parametrize(("count", "severity"), [(500, "warning"), (150, "warning"), (60, "info")])
def test_told_by_their_share(count: int, severity: str, found: Callable[..., list]) -> None:
    (one,) = found(Duplicates(), [checked(count, near=3)])
    assert one.severity == severity
    assert f"{count} ({count / 1000:.0%}) stood before, 3 of them nearly" in one.summary
    assert len(one.rows) == count


@pytest.mark.parametrize("record", [checked(5), checked(0), checked(900, expected=890.0)])
def test_few_and_those_of_chance_are_silent(record: DataChecked, found: Callable[..., list]) -> None:
    assert found(Duplicates(), [record]) == []

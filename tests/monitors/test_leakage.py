from __future__ import annotations

from collections.abc import Callable

import pytest

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors.leakage import Leakage


def checked(known: int, of: int = 500, expected: float = 0.0) -> DataChecked:
    numbers = {
        "near": 0.0,
        "expected": expected,
        "validation_rows": float(of),
        "validation_known": float(known),
    }
    check = DataCheck(count=known, of=4000, rows=list(range(known)), numbers=numbers)
    return DataChecked(checks={"leakage": check})


@pytest.mark.parametrize(("known", "severity"), [(150, "warning"), (6, "warning"), (2, "info")])
def test_told_by_the_share_of_held_out_rows(known: int, severity: str, found: Callable[..., list]) -> None:
    (one,) = found(Leakage(), [checked(known)])
    assert one.severity == severity
    assert one.summary.startswith(f"Of 500 validation rows {known} ({known / 500:.1%}) stand among")
    assert one.rows == list(range(known))


def test_inputs_of_which_there_are_few_are_silent(found: Callable[..., list]) -> None:
    assert found(Leakage(), [checked(400, expected=390.0)]) == []
    assert found(Leakage(), [checked(0)]) == []


def test_blind_without_another_split() -> None:
    record = DataChecked(checks={"leakage": DataCheck(why_not="there is no validation or test split")})
    state, _ = Leakage().update(Leakage().init(), record)
    assert Leakage().verdict(state).text == "could not be checked: there is no validation or test split"

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors.truncated_targets import TruncatedTargets


def checked(truncated: int = 0, unsupervised: int = 0) -> DataChecked:
    return DataChecked(
        checks={
            "truncated_targets": DataCheck(count=truncated, of=1000, rows=list(range(truncated))),
            "unsupervised": DataCheck(count=unsupervised, of=1000, rows=list(range(500, 500 + unsupervised))),
        }
    )


def test_targets_without_an_end(found: Callable[..., list]) -> None:
    (one,) = found(TruncatedTargets(), [checked(truncated=400)])
    assert one.severity == "warning"
    assert one.summary == "Of 1,000 targets 400 (40%) lack their end."
    assert len(one.rows) == 400


def test_rows_without_a_target(found: Callable[..., list]) -> None:
    (one,) = found(TruncatedTargets(), [checked(unsupervised=80)])
    assert one.severity == "warning"
    assert "80 (8%) have no target that counts" in one.summary
    assert one.rows[0] == 500


def test_the_few_longest_are_an_info(found: Callable[..., list]) -> None:
    (one,) = found(TruncatedTargets(), [checked(truncated=20)])
    assert one.severity == "info"
    assert found(TruncatedTargets(), [checked(truncated=2)]) == []


def test_of_classes_only_what_is_missing_can_be_looked_at() -> None:
    record = DataChecked(
        checks={
            "truncated_targets": DataCheck(why_not="targets are not sequences"),
            "unsupervised": DataCheck(of=10),
        }
    )
    state, _ = TruncatedTargets().update(TruncatedTargets().init(), record)
    assert TruncatedTargets().verdict(state).kind == "fine"

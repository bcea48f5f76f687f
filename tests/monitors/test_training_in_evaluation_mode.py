"""Modules in evaluation mode while gradients are made: by mistake, or on purpose."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.training_in_evaluation_mode import TrainingInEvaluationMode
from tunewell.records import Finding, Record

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def test_a_model_in_evaluation_mode_is_told_at_the_first_look(look: Look, found: Found) -> None:
    first = found(TrainingInEvaluationMode(), [look(1, switching=2, in_evaluation=["norm", "dropout"])])[0]
    assert first.evidence["modules"] == ["norm", "dropout"]


def test_a_model_without_such_modules_takes_no_harm(look: Look, found: Found) -> None:
    monitor = TrainingInEvaluationMode()
    record = look(1, switching=0, in_evaluation=[])
    assert found(monitor, [record]) == []
    assert monitor.verdict(monitor.update(monitor.init(), record)[0]).kind == "fine"


def test_one_of_many_may_be_meant(look: Look, found: Found) -> None:
    assert found(TrainingInEvaluationMode(), [look(1, switching=13, in_evaluation=["pooler.dropout"])]) == []


def test_the_onset_is_where_it_began(look: Look, found: Found) -> None:
    modes = [[], [], ["dropout"], ["dropout"]]
    records: list[Record] = [look(20 * n, switching=1, in_evaluation=off) for n, off in enumerate(modes, 1)]
    assert [one.evidence["onset"] for one in found(TrainingInEvaluationMode(), records)] == [60, 60]

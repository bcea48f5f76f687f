"""Modules in training mode while the model is judged."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from tunewell.monitors import Monitor
from tunewell.monitors.evaluation_in_training_mode import EvaluationInTrainingMode
from tunewell.records import Eval, Finding, Record

Found = Callable[[Monitor, list[Record]], list[Finding]]


def test_it_is_told_at_the_evaluation_itself(evaluation: Callable[..., Eval], found: Found) -> None:
    noisy = structs.replace(evaluation(50, 0.6), in_training=["dropout"])
    first = found(EvaluationInTrainingMode(), [noisy])[0]
    assert (first.step, first.evidence["onset"]) == (50, 50)


def test_evaluation_mode_is_fine_and_unknown_modes_are_unknown(
    evaluation: Callable[..., Eval], found: Found
) -> None:
    monitor = EvaluationInTrainingMode()
    unknown, quiet = evaluation(50, 0.6), structs.replace(evaluation(100, 0.6), in_training=[])
    assert found(monitor, [unknown, quiet]) == []
    state, _ = monitor.update(monitor.init(), unknown)
    assert monitor.verdict(state).kind == "blind"
    state, _ = monitor.update(state, quiet)
    assert monitor.verdict(state).kind == "fine"

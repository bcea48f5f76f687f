"""Evaluation with dropout on."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tunewell.monitors._naming import named
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record


class EvaluationInTrainingMode(msgspec.Struct, frozen=True, kw_only=True):
    """Dropout or batch normalisation was in training mode while the model was evaluated.

    The scores are then noisy and too low, each evaluation gives others, and batch normalisation learns from the
    rows that it is judged by. It is read from the modules themselves; only those that work differently in training
    are counted, so that a model without them has nothing to get wrong.
    """

    reads: ClassVar[tuple[type, ...]] = (Eval,)
    explains: ClassVar[tuple[str, ...]] = (
        "overfitting",
        "overtraining",
        "plateau",
        "underfitting",
        "forgetting",
    )

    def init(self) -> State:
        """Return the state before any record."""
        return {"evaluations": 0, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each evaluation whose modes are known."""
        if not isinstance(record, Eval) or record.in_training is None:
            return state, []
        state = {**state, "evaluations": state["evaluations"] + 1}
        if not record.in_training:
            return state, []
        finding = _finding(record, record.in_training)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        count = state["evaluations"]
        blind = "" if count else "no evaluation whose modes are known"
        return judged(state, blind=blind, fine=f"everything was in evaluation mode at {count} evaluations")


def _finding(record: Eval, modules: list[str]) -> Finding:
    return Finding(
        step=record.step,
        monitor="evaluation_in_training_mode",
        code="evaluation_in_training_mode",
        severity="warning",
        summary=(
            f"In the evaluation at step {record.step}, {len(modules)} module(s) were in training mode: "
            f"{named(modules)}."
        ),
        meaning="The scores are noisy and too low, so that the best checkpoint is chosen by chance.",
        causes=["no `model.eval()` before the evaluation"],
        advice=["call `model.eval()` before each evaluation and `model.train()` after it"],
        evidence={
            "onset": max(1, record.step),
            "lasting": True,
            "modules": modules[:50],
            "split": record.split,
        },
    )

"""Training with dropout off and normalisation frozen by mistake."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors._naming import named
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started


class TrainingInEvaluationMode(msgspec.Struct, frozen=True, kw_only=True):
    """Modules that should be in training mode are in evaluation mode while gradients are made.

    It harms only where modules work differently then: dropout regularises no more, and batch normalisation uses
    statistics that never follow the weights. A model without such modules can't be harmed; layers that are frozen
    are rightly in evaluation mode, and so is normalisation that was set to it by itself, as is usual with small
    batches: none of those is counted. A single dropout that is off may be meant, most of them may not.
    """

    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of the switching modules that must be in evaluation mode."""

    reads: ClassVar[tuple[type, ...]] = (Started, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "overfitting", "overtraining", "underfitting", "plateau", "exploding_gradient", "gradient_spike",
        "vanishing_gradient", "loss_spike", "divergence", "oscillation", "saturation", "dead_units",
        "cannot_fit_a_batch", "learning_rate_too_high",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"looks": 0, "switching": 0, "first_seen": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look inside."""
        if isinstance(record, Started):
            return {**self.init(), "seen": state["seen"]}, []
        if not isinstance(record, Inspected) or record.in_evaluation is None or record.switching is None:
            return state, []
        switching, off = record.switching, record.in_evaluation
        state = {**state, "looks": state["looks"] + 1, "switching": switching}
        if not off or len(off) < self.share * switching:
            return {**state, "first_seen": None}, []
        state = {**state, "first_seen": state["first_seen"] or record.step}
        finding = _finding(record.step, off, max(switching, len(off)), state["first_seen"])
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looks"] else "the modes of the modules were not looked at"
        fine = f"the {state['switching']} modules that differ were in training mode"
        return judged(
            state,
            blind=blind,
            fine=fine if state["switching"] else "no module works differently in evaluation",
        )


def _finding(step: int, off: list[str], switching: int, onset: int) -> Finding:
    return Finding(
        step=step,
        monitor="training_in_evaluation_mode",
        code="training_in_evaluation_mode",
        severity="warning",
        summary=(
            f"At update {step}, {len(off)} of {switching} modules that work differently in training were in "
            f"evaluation mode: {named(off)}."
        ),
        meaning="Dropout does not regularise, and batch normalisation does not follow the weights.",
        causes=[
            "`model.eval()` for an evaluation, and no `model.train()` after it",
            "a pre-trained model that its library hands over in evaluation mode",
        ],
        advice=["call `model.train()` before each epoch, and after each evaluation"],
        evidence={"onset": onset, "modules": off[:50], "switching": switching},
    )

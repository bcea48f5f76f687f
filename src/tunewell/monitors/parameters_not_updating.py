"""Layers that get a gradient and do not move."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, StageBegan, Started, Step


class ParametersNotUpdating(msgspec.Struct, frozen=True, kw_only=True):
    """Layers with a gradient and a rate above zero whose weights stay exactly as they are.

    This is never right: the layer is in no optimizer group, the optimizer holds copies of its old weights, or the
    step is lost to rounding. A frozen layer has no gradient and is not meant. SageMaker Debugger's rule waits for 3
    unchanged steps; so do three samples here, since one may fall on a step that something else held back.
    """

    smallest: Annotated[float, Meta(ge=0)] = 1e-12
    """Gradient norms and relative updates up to this count as nothing."""
    samples: Annotated[int, Meta(ge=1)] = 3
    """Samples in a row."""

    explains: ClassVar[tuple[str, ...]] = ("underfitting",)

    def init(self) -> State:
        """Return the state before any record."""
        return {"runs": {}, "sampled": 0, "first_seen": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update at which the layers were measured."""
        if isinstance(record, Started | StageBegan):
            return {**state, "runs": {}, "first_seen": None}, []
        if not isinstance(record, Step) or record.skipped or record.learning_rate <= 0:
            return state, []
        gradients, updates = record.layer_gradients, record.layer_updates
        if not gradients or updates is None:
            return state, []
        still = [name for name, norm in gradients.items() if self._stands_still(norm, updates.get(name, 0.0))]
        runs = {name: state["runs"].get(name, 0) + 1 for name in still}
        first_seen = (state["first_seen"] or record.step) if runs else None
        state = {**state, "runs": runs, "first_seen": first_seen, "sampled": state["sampled"] + 1}
        lasting = [name for name, times in runs.items() if times >= self.samples]
        if not lasting:
            return state, []
        finding = _finding(record, lasting, len(lasting) == len(gradients), state["first_seen"])
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        sampled = state["sampled"]
        blind = "" if sampled >= self.samples else "updates were not measured by layer (`probe_steps`)"
        return judged(state, blind=blind, fine=f"every layer with a gradient moved in {sampled} samples")

    def _stands_still(self, gradient: float, update: float) -> bool:
        return math.isfinite(gradient) and gradient > self.smallest and update <= self.smallest


def _finding(step: Step, layers: list[str], is_all: bool, first_seen: int) -> Finding:
    named = ", ".join(layers[:5]) + (" and others" if len(layers) > 5 else "")
    which = "No layer" if is_all else f"Layer {named}" if len(layers) == 1 else f"Layers {named}"
    verb = "moves" if is_all else "does not move" if len(layers) == 1 else "do not move"
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="parameters_not_updating",
        code="parameters_not_updating",
        severity="critical" if is_all else "warning",
        summary=f"{which} {verb} though the gradient is not zero and the rate is {step.learning_rate:.2g}.",
        meaning="What these layers should learn is lost; the optimizer does not update them.",
        causes=[
            "the layer was made or replaced after the optimizer was built",
            "its parameters are in no optimizer group",
            "steps too small for the weights' precision",
        ],
        advice=[
            "build the optimizer after the model is complete",
            "set `precision: fp32`",
            "raise `learning_rate`",
        ],
        evidence={
            "onset": first_seen,
            "layers": layers,
            "layer_gradients": step.layer_gradients or {},
            "layer_updates": step.layer_updates or {},
        },
    )

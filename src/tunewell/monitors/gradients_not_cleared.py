"""Gradients of earlier updates are added to those of this one."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started, Step


class GradientsNotCleared(msgspec.Struct, frozen=True, kw_only=True):
    """Before an update's first backward pass there are gradients already: those of updates that were made.

    Each update then repeats all that were before it, like momentum without decay. Nothing has to be estimated from
    curves: a cleared gradient is exactly zero. What gathers gradients over several backward passes rightly is not
    meant, since only the first one's beginning is looked at, nor are parameters that the optimizer does not know and
    so can't clear, which is a fault of its own.
    """

    share: Annotated[float, Meta(gt=0)] = 1e-6
    """Norm of what was there beside that of the whole gradient: more than rounding leaves."""

    reads: ClassVar[tuple[type, ...]] = (Started, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "exploding_gradient", "gradient_spike", "loss_spike", "divergence", "oscillation", "non_finite",
        "learning_rate_too_high", "no_warmup", "underfitting", "plateau", "collapse", "dead_units", "saturation",
        "vanishing_gradient", "overfitting", "overtraining", "forgetting",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"norm": None, "looks": 0, "first_seen": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look inside."""
        match record:
            case Started():
                return {**self.init(), "seen": state["seen"]}, []
            case Step():
                norm = record.gradient_norm
                return {**state, "norm": norm if math.isfinite(norm) else None}, []
            case Inspected(stale_gradient=float() as stale) if not record.not_optimized:
                state = {**state, "looks": state["looks"] + 1}
                if not math.isfinite(stale) or stale <= self.share * (state["norm"] or 0.0) or stale == 0:
                    return {**state, "first_seen": None}, []
                state = {**state, "first_seen": state["first_seen"] or record.step}
                finding = _finding(state, record.step, stale)
                return {**state, "seen": finding.summary}, [finding]
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        looks = state["looks"]
        blind = "" if looks > 1 else "gradients were not looked at before an update"
        return judged(
            state, blind=blind, fine=f"gradients were clear before each of {looks} updates looked at"
        )


def _finding(state: State, step: int, stale: float) -> Finding:
    norm = state["norm"]
    beside = f", beside {norm:.3g} after it" if norm is not None else ""
    return Finding(
        step=step,
        monitor="gradients_not_cleared",
        code="gradients_not_cleared",
        severity="critical",
        summary=f"Before update {step}'s first backward pass there was a gradient of norm {stale:.3g}{beside}.",
        meaning="Each update adds the gradients of all before it, so that steps grow and point to where the model was.",
        causes=["`optimizer.zero_grad()` is missing or is called on another optimizer or model"],
        advice=["call `optimizer.zero_grad()` after each `optimizer.step()`"],
        evidence={"onset": max(1, state["first_seen"] - 1), "stale_gradient": stale, "gradient_norm": norm},
    )

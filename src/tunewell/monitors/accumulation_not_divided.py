"""Gradients gathered over several backward passes and never divided."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected, Tested
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import median
from tunewell.records import Finding, Record, Started


class AccumulationNotDivided(msgspec.Struct, frozen=True, kw_only=True):
    """An update of several backward passes differentiates as many times the mean loss, or a mean that is not the mean.

    **Undivided**: what was differentiated in all, beside the mean loss over the update's targets, is the number of
    passes and not 1. Clipping then cuts every update, and plain SGD moves as many times too far. Class weights, label
    smoothing and further terms move that ratio too, but not to the number of passes, whatever the loss is.

    **Unequal**: micro-batches of unequal numbers of targets were each divided by their own, as transformers did until
    4.46 (its issue 34191). The ratio then scatters around 1, above and below. Told as info: it weighs targets by
    their neighbours, and seldom harms.
    """

    tolerance: Annotated[float, Meta(gt=0, lt=0.5)] = 0.1
    """How near to the number of passes the ratio must be, as a share of it."""
    looks: Annotated[int, Meta(ge=1)] = 2
    """Looks in a row; one at which the ratio is between both says nothing."""
    scatter: Annotated[float, Meta(gt=0)] = 0.02
    """Middle distance of the ratio from 1 that counts as unequal."""
    scatter_looks: Annotated[int, Meta(ge=4)] = 6
    """Looks for that, with at least two on each side of 1."""

    reads: ClassVar[tuple[type, ...]] = (Started, Tested, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "learning_rate_too_high", "exploding_gradient", "gradient_spike", "divergence", "loss_spike", "oscillation",
        "non_finite", "no_warmup", "collapse", "underfitting", "dead_units", "saturation", "plateau",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"ratios": [], "runs": 0, "first_seen": None, "looked": "", "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look at an update of several backward passes, and the self-test of the same."""
        match record:
            case Started():
                return {**self.init(), "seen": state["seen"]}, []
            case Tested(name="accumulation", passed=bool()):
                state = {**state, "looked": "the gathered gradient is that of the whole batch"}
                return (state, []) if record.passed else self._told(state, _of_test(record))
            case Inspected(backward_passes=1):
                return {**state, "looked": state["looked"] or "one backward pass makes an update"}, []
            case Inspected(objective=float(), mean_loss=float()):
                return self._look(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looked"] else "what was differentiated is not known"
        return judged(state, blind=blind, fine=state["looked"])

    def _look(self, state: State, look: Inspected) -> tuple[State, list[Finding]]:
        objective, mean_loss = look.objective or 0.0, look.mean_loss or 0.0
        if not (math.isfinite(objective) and math.isfinite(mean_loss)) or abs(mean_loss) < 1e-9:
            return state, []
        ratio, passes = objective / mean_loss, look.backward_passes
        is_undivided = abs(ratio / passes - 1) < self.tolerance
        is_divided = ratio * ratio < passes  # nearer to 1, as factors go
        state = {
            **state,
            "looked": f"the gradients of {passes} backward passes are divided",
            "ratios": [*state["ratios"], ratio][-20:],
            "runs": state["runs"] + 1 if is_undivided else 0 if is_divided else state["runs"],
            "first_seen": None if is_divided else state["first_seen"] or look.step,
        }
        if is_undivided and state["runs"] >= self.looks:
            return self._told(state, _undivided(look, ratio, state["first_seen"]))
        if not state["seen"] and self._scatters(state["ratios"]):
            return self._told(state, _unequal(look, state["ratios"]))
        return state, []

    def _scatters(self, ratios: list[float]) -> bool:
        if len(ratios) < self.scatter_looks or max(ratios) > 1.5:
            return False
        above = sum(ratio > 1 for ratio in ratios)
        return 2 <= above <= len(ratios) - 2 and median([abs(ratio - 1) for ratio in ratios]) > self.scatter

    def _told(self, state: State, finding: Finding) -> tuple[State, list[Finding]]:
        return {**state, "seen": finding.summary}, [finding]


def _undivided(look: Inspected, ratio: float, onset: int) -> Finding:
    passes = look.backward_passes
    return Finding(
        step=look.step,
        monitor="accumulation_not_divided",
        code="accumulation_not_divided",
        severity="warning",
        summary=f"The {passes} backward passes of an update differentiated {ratio:.3g} times its mean loss.",
        meaning=f"Gradients are {passes} times too large: clipping cuts every update, and SGD moves {passes} times too far.",
        causes=["the loss of a micro-batch is not divided by the number of micro-batches"],
        advice=[f"call `(loss / {passes}).backward()`, or divide by all targets of the update"],
        evidence={"onset": onset, "ratio": ratio, "backward_passes": passes, "divisor": passes},
    )


def _unequal(look: Inspected, ratios: list[float]) -> Finding:
    distance = median([abs(ratio - 1) for ratio in ratios])
    return Finding(
        step=look.step,
        monitor="accumulation_not_divided",
        code="accumulation_not_divided",
        severity="info",
        summary=(
            f"What {look.backward_passes} backward passes differentiated differs by {distance:.1%} from the mean over "
            "all targets, now above and now below."
        ),
        meaning="Micro-batches with few targets weigh as much as those with many.",
        causes=["each micro-batch's loss is divided by its own number of targets"],
        advice=["divide the summed loss by the targets of the whole update"],
        evidence={"onset": 1, "ratios": ratios, "backward_passes": look.backward_passes},
    )


def _of_test(test: Tested) -> Finding:
    return Finding(
        step=test.step,
        monitor="accumulation_not_divided",
        code="accumulation_not_divided",
        severity="warning",
        summary=f"Self-test before update {test.step + 1}: {test.detail}",
        meaning="The gradient gathered over micro-batches is not that of the whole batch.",
        causes=["the loss of a micro-batch is not divided by all targets of the update"],
        advice=["divide the summed loss once, by the targets of the whole update"],
        evidence={"onset": max(1, test.step), "divisor": 0, **test.numbers},
    )

"""New weights so large that the first answers are sure and wrong."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected, Tested
from tunewell.monitors import _guess
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import is_usable, median
from tunewell.records import Finding, Record, StageBegan, Started, Step

_LEAST = 1e-12
"""A loss below tells nothing about its unit."""


class BadInitialization(msgspec.Struct, frozen=True, kw_only=True):
    """The first loss is far above log(classes), that of a model which says that it does not know.

    Logits of standard deviation s cost about s²/2 more than guessing, and s is 0.1 to 0.6 with the usual weights:
    the first loss of a fresh model is within a few tenths of log(classes). At twice that it takes as much learning
    to know nothing as from there to be right, and gradients point at the weights' size, not at the task. The loss is
    the one of the targets themselves, so that class weights and label smoothing don't count, and its standard error
    is left room for.

    A high first loss alone is not enough, since a model trained before on other answers is sure and wrong as well,
    and soon learns. So either the output layer's weights are seen to be far beyond what any usual initialisation
    gives (a gain of 0.3 to 1.5; trained layers stay under 5), or the run has used up a share of its updates and the
    loss is still above guessing.
    """

    above: Annotated[float, Meta(gt=1)] = 2.0
    """First loss beside log(classes)."""
    nats: Annotated[float, Meta(gt=0)] = 1.0
    """The least excess over log(classes), for few classes."""
    gain: Annotated[float, Meta(gt=1)] = 5.0
    """Gain of the output layer, above which its weights are the cause."""
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    """Share of the updates after which a loss still above guessing is harm."""
    least: Annotated[int, Meta(ge=8)] = 40
    """Updates for that at least."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Tested, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "exploding_gradient", "gradient_spike", "loss_spike", "divergence", "oscillation", "non_finite", "no_warmup",
        "learning_rate_too_high", "learning_rate_too_low", "vanishing_gradient", "underfitting", "saturation",
        "dead_units", "cannot_fit_a_batch", "collapse", "plateau", "label_noise", "inputs_unrelated",
        "gradient_underflow", "overfitting",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "classes": 0, "last": 0, "first": None, "error": 0.0, "guessing": None, "unit": 1.0, "step": None, "rates": 0.0, "gain": None,
            "layer": "", "updates": 0, "since": [], "is_high": False, "fell": False, "told": False, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the first loss, and what became of it."""
        match record:
            case Started():
                return {**self.init(), "classes": record.num_classes, "last": record.total_steps}, []
            case Tested(name="first_loss", passed=bool()) if state["first"] is None:
                return self._tested(state, record), []
            case Step():
                return self._step(state, record)
            case Inspected():
                return self._look(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        first, guessing = state["first"], state["guessing"]
        blind = "" if first is not None else "the first loss of known targets was not seen"
        if first is not None and guessing is None:
            blind = "what guessing would cost is not known for this task"
        fine = "" if blind else f"the first loss, {first:.3g}, is near that of guessing, {guessing:.3g}"
        if state["fell"]:
            fine = "a first loss above that of guessing fell soon"
        return judged(state, blind=blind, fine=fine)

    def _tested(self, state: State, test: Tested) -> State:
        loss, error = test.numbers.get("loss"), test.numbers.get("standard_error", 0.0)
        if loss is None or not math.isfinite(loss):
            return state
        classes = state["classes"]
        return {
            **state,
            "first": loss,
            "error": error if math.isfinite(error) else 0.0,
            "guessing": math.log(classes) if classes > 1 else test.numbers.get("expected"),
        }

    def _step(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        state = {**state, "updates": state["updates"] + 1}
        if not math.isfinite(step.loss):
            return state, []
        if state["updates"] == 1:
            state = {**state, "step": [step.loss, step.rows]}
        if not state["is_high"]:
            return state, []
        rates = state["rates"] + step.learning_rate
        state = {**state, "rates": rates, "since": [*state["since"], step.loss * state["unit"]][-8:]}
        if state["told"]:
            return state, []
        if not _is_above_guessing(state):
            return {**state, "is_high": False, "fell": True}, []
        needed = max(self.least, math.ceil(self.share * state["last"]))
        # A warm-up's updates count for as much as they move: what they have not mended yet is no harm.
        has_had_time = rates >= needed * step.learning_rate and state["updates"] > needed
        return self._tell(state, step.step) if has_had_time else (state, [])

    def _look(self, state: State, look: Inspected) -> tuple[State, list[Finding]]:
        is_scaled = look.output_gain is not None and look.output_gain > self.gain
        if state["updates"] != 1:
            lasts = state["told"] and (is_scaled or _is_above_guessing(state))
            return self._tell(state, look.step) if lasts else (state, [])
        state = {**state, "gain": look.output_gain, "layer": look.output_layer}
        guessing, first = _guess.of(look, state["classes"]), look.mean_loss
        if guessing is not None:
            state = {**state, "guessing": guessing}
        if first is not None and is_usable(first):
            loss, rows = state["step"] or (first, 1)
            # Losses of single rows are spread like exponential ones: their deviation is about their mean. What is
            # logged may be weighted or smoothed: it is brought to the unit of the targets' own loss.
            error = abs(first) / math.sqrt(max(1, rows))
            unit = first / loss if loss > _LEAST and first > 0 else 1.0
            state = {**state, "first": first, "error": error, "unit": unit}
        if state["guessing"] is None or state["first"] is None:
            return state, []
        is_high = self._is_high(
            state["first"], state["error"], state["guessing"], is_number=not look.num_outputs
        )
        state = {**state, "is_high": is_high}
        return self._tell(state, look.step) if is_high and is_scaled else (state, [])

    def _is_high(self, first: float, error: float, guessing: float, *, is_number: bool) -> bool:
        # Of a number's loss only the ratio is known; nats have a size of their own.
        least = 2 * self.above * guessing if is_number else max(self.above * guessing, guessing + self.nats)
        return first - 2 * error > guessing and first > least

    def _tell(self, state: State, step: int) -> tuple[State, list[Finding]]:
        finding = self._finding(state, step)
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def _finding(self, state: State, step: int) -> Finding:
        first, guessing, gain = state["first"], state["guessing"], state["gain"]
        is_scaled = gain is not None and gain > self.gain
        why = f"; the output layer's gain is {gain:.3g} in place of about 1" if is_scaled else ""
        still = "" if is_scaled else f", and after {state['updates']} updates it still is above it"
        return Finding(
            step=step,
            monitor="bad_initialization",
            code="bad_initialization",
            severity="warning",
            summary=(
                f"The first loss is {first:.3g} ± {state['error']:.2g}, {first / guessing:.3g} times that of guessing "
                f"({guessing:.3g}){why}{still}."
            ),
            meaning="The model begins sure and wrong: updates are spent on forgetting its first answers.",
            causes=[
                "the output layer's weights are far too large"
                if is_scaled
                else "new weights that are far too large",
                "inputs that are not normalised",
                "a pre-trained output layer whose classes mean something else here",
            ],
            advice=[
                "give the new layer weights of standard deviation 0.02, or PyTorch's own `reset_parameters()`",
                "set `head_init: fitted`",
            ],
            evidence={
                "onset": 1,
                "first_loss": first,
                "standard_error": state["error"],
                "guessing": guessing,
                "factor": first / guessing,
                "output_gain": gain,
                "layers": [state["layer"]] if is_scaled and state["layer"] else [],
            },
        )


def _is_above_guessing(state: State) -> bool:
    return len(state["since"]) < 8 or bool(median(state["since"]) >= state["guessing"])

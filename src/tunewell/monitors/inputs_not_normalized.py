"""Inputs on a scale that the first layer's weights are not made for."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataChecked, Inspected
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import median
from tunewell.records import Eval, Finding, Record, Started, Step


class InputsNotNormalized(msgspec.Struct, frozen=True, kw_only=True):
    """Floating-point inputs far from unit size that make the first losses many times that of guessing.

    The usual initialisations (Glorot, He) keep the size of what passes through when inputs are of size 1. Standardised inputs
    have a root mean square of 1, pixels in 0 to 1 about 0.5, tf-idf far less, all of which train; bytes of pixels have
    about 150. Size alone is no harm: a normalisation layer undoes it at once, so the harm is asked for too. Outputs
    grow with the inputs, and the first loss with them: a model that knows nothing costs log(classes), one that is sure
    and wrong many times that. Batch normalisation hides it in training, and not in an evaluation before the first
    update, when it has seen nothing yet. Where there are no classes the first losses must fall by nine tenths or rise, or the
    gradient be as large as no unit-sized input makes it. Otherwise it is a fault once the run has not learned.
    """

    size: Annotated[float, Meta(gt=1)] = 20.0
    """Root mean square of the inputs that is far from 1: beyond raw values on small scales, under bytes."""
    above: Annotated[float, Meta(gt=1)] = 2.0
    """First loss beside guessing that is harm."""
    gradient: Annotated[float, Meta(gt=0)] = 100.0
    """First gradient norm that is harm where guessing's cost is not known: usual ones are 0.1 to 10."""
    patience: Annotated[int, Meta(ge=1)] = 100
    """Updates after which a run that is no better than guessing shows the harm too."""

    reads: ClassVar[tuple[type, ...]] = (Started, DataChecked, Step, Inspected, Eval)
    explains: ClassVar[tuple[str, ...]] = (
        "bad_initialization", "learning_rate_too_high", "exploding_gradient", "gradient_spike", "loss_spike",
        "divergence", "non_finite", "oscillation", "dead_units", "saturation", "underfitting", "vanishing_gradient",
        "cannot_fit_a_batch", "plateau", "no_warmup", "collapse",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "guessing": None, "size": None, "mean": 0.0, "std": 0.0, "first": None, "untouched": None, "gradient": None, "recent": [],
            "updates": 0, "told": False, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Take the inputs' size from the data or the first look, and judge it with the first losses."""
        match record:
            case Started():
                guessing = math.log(record.num_classes) if record.num_classes > 1 else None
                return {**self.init(), "guessing": guessing, "seen": state["seen"]}, []
            case DataChecked() if "input_scale" in record.checks and record.checks["input_scale"].of:
                numbers = record.checks["input_scale"].numbers
                return self._judged(_sized(state, numbers["mean"], numbers["std"]), max(1, record.step))
            case Inspected(input_mean=float(), input_std=float()) if state["updates"] <= self.patience:
                assert record.input_mean is not None
                assert record.input_std is not None
                return self._judged(_sized(state, record.input_mean, record.input_std), record.step)
            case Eval(step=0, split="validation") if math.isfinite(record.loss):
                return self._judged({**state, "untouched": record.loss}, 1)
            case Step():
                return self._judged(self._stepped(state, record), record.step)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["size"] is not None else "the model gets no floating-point inputs that were seen"
        fine = "" if blind else f"inputs have a root mean square of {state['size']:.3g}"
        if not blind and state["size"] >= self.size:
            fine += ", and the model takes it"
        return judged(state, blind=blind, fine=fine)

    def _stepped(self, state: State, step: Step) -> State:
        if state["told"] or state["updates"] > self.patience:
            return state
        loss = step.loss if math.isfinite(step.loss) else 1e30
        norm = step.gradient_norm if math.isfinite(step.gradient_norm) else 1e30
        if state["first"] is None:
            state = {**state, "first": loss, "gradient": norm}
        return {**state, "updates": state["updates"] + 1, "recent": [*state["recent"], loss][-16:]}

    def _judged(self, state: State, step: int) -> tuple[State, list[Finding]]:
        if state["told"] or state["size"] is None or state["size"] < self.size:
            return state, []
        harm = self._harm(state)
        if not harm:
            return state, []
        finding = _finding(state, step, harm)
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def _harm(self, state: State) -> str:
        first, untouched, guessing = state["first"], state["untouched"], state["guessing"]
        if guessing is None:
            too_steep = state["gradient"] is not None and state["gradient"] > self.gradient
            return f"the first gradient has a norm of {state['gradient']:.3g}" if too_steep else ""
        bound = self.above * guessing + 1
        if first is not None and first > bound:
            return f"the first loss is {first:.3g}, where guessing costs {guessing:.3g}"
        if untouched is not None and untouched > bound:
            return f"before the first update validation rows cost {untouched:.3g}, where guessing costs {guessing:.3g}"
        if state["updates"] > self.patience and median(state["recent"]) >= 0.95 * guessing:
            return f"after {state['updates']} updates the loss is {median(state['recent']):.3g}, no better than guessing"
        return ""


def _sized(state: State, mean: float, std: float) -> State:
    size = math.hypot(mean, std)
    if not math.isfinite(size) or (state["size"] is not None and state["size"] >= size):
        return state
    return {**state, "size": size, "mean": mean, "std": std}


def _finding(state: State, step: int, harm: str) -> Finding:
    return Finding(
        step=step,
        monitor="inputs_not_normalized",
        code="inputs_not_normalized",
        severity="warning",
        summary=f"Inputs have a mean of {state['mean']:.3g} and a standard deviation of {state['std']:.3g}, and {harm}.",
        meaning="Weights are made for inputs of size 1. From larger ones come sure and wrong answers and gradients so "
        "large that learning is slow or unstable.",
        causes=[
            "pixels as bytes, 0 to 255, where the model expects 0 to 1 or standardised ones",
            "columns of a table with their own units (years, euros)",
            "a normalisation that is applied in one place and not in another",
        ],
        advice=[
            f"subtract {state['mean']:.3g} and divide by {state['std']:.3g}, in training and in prediction alike",
            "use the normalisation that the pre-trained model was trained with",
        ],
        evidence={
            "lasting": True,
            "onset": 1,
            "mean": state["mean"],
            "std": state["std"],
            "first_loss": state["first"],
            "untouched": state["untouched"],
            "guessing": state["guessing"],
        },
    )

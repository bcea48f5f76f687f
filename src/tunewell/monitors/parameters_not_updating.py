"""Parameters that get a gradient and do not move."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors._naming import named
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, StageBegan, Started, Step


class ParametersNotUpdating(msgspec.Struct, frozen=True, kw_only=True):
    """Trainable parameters that the optimizer does not know, or layers whose weights stay exactly as they are.

    Neither is right: the layer was made after the optimizer, the optimizer holds copies of its old weights, or the
    step is lost to rounding. Parameters in no group of the optimizer are seen at the first looks, before anything had
    to stand still. A frozen layer requires no gradient and is not meant.

    Layers that stand still are waited for through 3 samples, as in SageMaker Debugger's rule, since one may fall on a
    step that something else held back; they must get a gradient of a size that is worth a step (a thousandth of the
    largest that any layer has had: below that the gradient vanishes, another fault, or the run has converged), at a
    rate that fp32 does not round away.

    Giving the optimizer the upper layers only, and leaving the rest unfrozen, is wasteful but often meant: if nothing
    is frozen and at least the lower half of the layers is left out, it is told as info.
    """

    smallest: Annotated[float, Meta(ge=0)] = 1e-12
    """Gradient norms and relative updates up to this count as nothing."""
    beside_largest: Annotated[float, Meta(ge=0, lt=1)] = 1e-3
    """Gradient norm beside the largest that is worth a step."""
    least_rate: Annotated[float, Meta(ge=0)] = 1e-6
    """Rate under which an update may be rounded away: 10 times fp32's resolution, as at a warm-up's beginning."""
    samples: Annotated[int, Meta(ge=1)] = 3
    """Samples in a row."""
    looks: Annotated[int, Meta(ge=1)] = 2
    """Looks in a row at which parameters are in no group."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "underfitting", "learning_rate_too_low", "plateau", "cannot_fit_a_batch", "gradients_not_cleared",
        "exploding_gradient", "gradient_spike", "label_noise", "inputs_unrelated",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "runs": {}, "sampled": 0, "first_seen": None, "layers": [], "missing": [], "missing_looks": 0,
            "missing_since": None, "largest": 0.0, "looked": False, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update at which the layers were measured, and each look at the optimizer."""
        match record:
            case Started() | StageBegan():
                fresh: State = {"runs": {}, "first_seen": None, "missing_looks": 0, "missing_since": None}
                return {**state, **fresh}, []
            case Step():
                return self._measured(state, record)
            case Inspected(not_optimized=list()):
                return self._look(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        sampled = state["sampled"]
        enough = sampled >= self.samples or state["looked"]
        blind = "" if enough else "updates were not measured by layer (`probe_steps`)"
        fine = f"every layer with a gradient moved in {sampled} samples"
        return judged(state, blind=blind, fine=fine if sampled else "the optimizer has all that should train")

    def _measured(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        gradients, updates = step.layer_gradients, step.layer_updates
        if step.skipped or not gradients:
            return state, []
        state = {**state, "layers": [*gradients]}
        if updates is None or step.learning_rate < self.least_rate:
            return state, []
        largest = max([state["largest"], *(norm for norm in gradients.values() if math.isfinite(norm))])
        still = [
            name
            for name, norm in gradients.items()
            if self._stands_still(norm, largest, updates.get(name, 0.0))
        ]
        runs = {name: state["runs"].get(name, 0) + 1 for name in still}
        first_seen = (state["first_seen"] or step.step) if runs else None
        state = {
            **state,
            "largest": largest,
            "runs": runs,
            "first_seen": first_seen,
            "sampled": state["sampled"] + 1,
        }
        lasting = [name for name, times in runs.items() if times >= self.samples]
        if not lasting or state["missing_looks"]:  # what is in no group is told as that
            return state, []
        return self._told(state, _standing_still(step, lasting, state))

    def _look(self, state: State, look: Inspected) -> tuple[State, list[Finding]]:
        missing = look.not_optimized or []
        state = {
            **state,
            "looked": True,
            "missing_looks": state["missing_looks"] + 1 if missing else 0,
            "missing_since": (state["missing_since"] or look.step) if missing else None,
        }
        if state["missing_looks"] < self.looks:
            return state, []
        return self._told(state, _not_optimized(look, missing, state))

    def _told(self, state: State, finding: Finding) -> tuple[State, list[Finding]]:
        is_known = finding.severity == "info" and finding.summary == state["seen"]
        return {**state, "seen": finding.summary}, [] if is_known else [finding]

    def _stands_still(self, gradient: float, largest: float, update: float) -> bool:
        is_worth_a_step = gradient > max(self.smallest, self.beside_largest * largest)
        return math.isfinite(gradient) and is_worth_a_step and update <= self.smallest


def _is_meant(left_out: list[str], layers: list[str], frozen: list[str]) -> bool:
    """Whether only upper layers are trained although nothing is frozen: a shortcut that many scripts take."""
    lower = layers[: len(left_out)]
    is_lower_part = bool(left_out) and set(left_out) == set(lower) and len(left_out) < len(layers)
    return is_lower_part and not frozen and 2 * len(left_out) >= len(layers)


def _not_optimized(look: Inspected, missing: list[str], state: State) -> Finding:
    layers = state["layers"]
    left_out = [
        layer
        for layer in layers
        if any(name == layer or name.startswith(f"{layer}.") or f".{layer}." in name for name in missing)
    ]
    is_meant = _is_meant(left_out, layers, look.frozen or [])
    is_all = bool(layers) and len(left_out) == len(layers)
    count = f"{len(missing)} trainable parameter{'s are' if len(missing) > 1 else ' is'}"
    return Finding(
        step=look.step,
        monitor="parameters_not_updating",
        code="parameters_not_updating",
        severity="info" if is_meant else "critical" if is_all else "warning",
        summary=f"{count} in no group of the optimizer: {named(missing)}.",
        meaning="They get gradients and never move: what they should learn is lost.",
        causes=[
            "the layer was made or replaced after the optimizer was built",
            "the optimizer was given other parameters, such as those of a copy",
            *(
                ["only the upper layers are meant to train, and the others are not frozen"]
                if is_meant
                else []
            ),
        ],
        advice=[
            "build the optimizer after the model is complete",
            "or add them: `optimizer.add_param_group({'params': …})`",
            "freeze what should not train (`requires_grad = False`): that saves its gradients",
        ],
        evidence=_evidence(state["missing_since"], left_out, parameters=missing),
    )


def _standing_still(step: Step, layers: list[str], state: State) -> Finding:
    every = step.layer_gradients or {}
    is_all = len(layers) == len(every)
    is_meant = _is_meant([name for name in every if name in layers], [*every], [])
    which = "No layer" if is_all else f"Layer{'s' if len(layers) > 1 else ''} {named(layers, 5)}"
    verb = "moves" if is_all else "does not move" if len(layers) == 1 else "do not move"
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="parameters_not_updating",
        code="parameters_not_updating",
        severity="critical" if is_all else "info" if is_meant else "warning",
        summary=f"{which} {verb} though the gradient is not zero and the rate is {step.learning_rate:.2g}.",
        meaning="What these layers should learn is lost; the optimizer does not update them.",
        causes=[
            "the layer was made or replaced after the optimizer was built",
            "its parameters are in no optimizer group, or in one whose rate is zero",
            "steps too small for the weights' precision",
        ],
        advice=[
            "build the optimizer after the model is complete",
            "set `precision: fp32`",
            "raise `learning_rate`",
        ],
        evidence=_evidence(
            state["first_seen"],
            layers,
            layer_gradients=every,
            layer_updates=step.layer_updates or {},
        ),
    )


def _evidence(onset: int, layers: list[str], **more: Any) -> dict[str, Any]:
    return {"onset": max(1, onset), "layers": layers, **more}

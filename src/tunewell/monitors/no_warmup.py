"""The full learning rate at the first updates, when the optimizer does not know the gradients yet."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import mean, median, pushed
from tunewell.records import Finding, Record, StageBegan, Started, Step


class NoWarmup(msgspec.Struct, frozen=True, kw_only=True):
    """An adaptive optimizer began at its full rate, and its first updates broke what the run needed.

    Adam's first update moves every weight by the whole rate, whatever its gradient, since it knows one gradient only
    (Liu et al. 2020). Many models take that well, so that harm is asked for. **It collapsed**: soon after, all inputs
    get one answer, and almost no gradient reaches the layers below the output any more, as happens to transformers
    with the norm behind each block (Xiong et al. 2020). **It stalled**: the first update moved layers far, and the loss soon
    stopped falling, at the same rate, with most of it left. **It jumped**: the loss rose by as much as guessing costs
    and came down again at the same rate, so that the rate itself is bearable.

    A rate that is far too high breaks a model too. It moves layers by more than a third of their size in the first update,
    or does it after a warm-up: that is told as what it is.
    """

    full: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """First rate beside the largest of the first updates from which there was no warm-up."""
    first_updates: Annotated[int, Meta(ge=4)] = 40
    """Updates in which the loss may jump and come down."""
    least: Annotated[float, Meta(gt=0)] = 0.01
    """‖Δθ‖/‖θ‖ of the middle layer in the first update: ten times what is usual later."""
    most: Annotated[float, Meta(gt=0)] = 0.3
    """The same, above which the rate is too high, warm-up or not: three times TheDeepChecker's bound."""
    far: Annotated[float, Meta(gt=0)] = 0.03
    """The same, from which a stall is laid to it: thirty times what is usual later."""
    stalled: Annotated[int, Meta(ge=40)] = 48
    """Updates after which a stall is looked for, up to twice as many: the latter 16 of the last 32 cost no less"""
    left: Annotated[float, Meta(gt=0, lt=1)] = 0.4
    """and still this share of the first loss."""
    answers: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Spread of the outputs over rows beside that of the first update that is a collapse."""
    reaches: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Gradient of the middle layer below the output beside that of the first update, likewise."""
    looks: Annotated[int, Meta(ge=1)] = 2
    """Looks in a row at which it must have collapsed."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "vanishing_gradient", "exploding_gradient", "gradient_spike", "loss_spike", "divergence", "oscillation",
        "underfitting", "plateau", "dead_units", "saturation", "learning_rate_too_low", "learning_rate_too_high",
        "collapse", "inputs_unrelated", "label_noise", "cannot_fit_a_batch",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "classes": 0, "rates": [], "losses": [], "recent": [], "updates": 0, "moved": None, "gradients": {}, "first_gradients": {}, "output": "",
            "std": None, "adaptive": None, "runs": 0, "looks": 0, "told": False, "rate": 0.0, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the first updates and what they left behind."""
        match record:
            case Started() | StageBegan():
                classes = record.num_classes if isinstance(record, Started) else state["classes"]
                return {**self.init(), "classes": classes, "seen": state["seen"]}, []
            case Step():
                return self._step(state, record)
            case Inspected():
                return self._look(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if len(state["rates"]) > 2 else "too few updates"
        fine = "the rate warmed up, or the first updates at the full rate did no harm"
        if not blind and state["adaptive"] is None:
            blind = "the optimizer was not looked at"
        if not blind and not state["adaptive"]:
            fine = "the optimizer is not adaptive"
        return judged(state, blind=blind, fine=fine)

    def _step(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        begins = not state["rates"]
        is_number = math.isfinite(step.loss) and math.isfinite(step.learning_rate)
        if len(state["rates"]) < self.first_updates and is_number:
            state = {
                **state,
                "rates": [*state["rates"], step.learning_rate],
                "losses": [*state["losses"], step.loss],
            }
        if is_number and not step.skipped and state["updates"] <= 2 * self.stalled:
            recent = pushed(state["recent"], step.loss, 32)
            state = {**state, "recent": recent, "updates": state["updates"] + 1, "rate": step.learning_rate}
        moved = [ratio for ratio in (step.layer_updates or {}).values() if math.isfinite(ratio)]
        if begins and moved:
            state = {**state, "moved": median(moved)}
        norms = {name: norm for name, norm in (step.layer_gradients or {}).items() if math.isfinite(norm)}
        state = {**state, "gradients": norms}
        if begins:
            state = {**state, "first_gradients": state["gradients"]}
        if state["told"] or not state["adaptive"] or not self._is_full(state):
            return state, []
        rise = self._jump(state)
        if rise:
            return self._told(state, _jumped(step, state, rise))
        return self._told(state, _stalled(step, state)) if self._has_stalled(state) else (state, [])

    def _look(self, state: State, look: Inspected) -> tuple[State, list[Finding]]:
        if look.epsilon is not None:
            state = {**state, "adaptive": True}
        elif state["adaptive"] is None and len(state["rates"]) > 1:
            state = {**state, "adaptive": False}
        if len(state["rates"]) == 1:
            std = look.output_std
            is_number = std is not None and math.isfinite(std)
            return {**state, "std": std if is_number else None, "output": look.output_layer}, []
        if look.output_std is None or len(state["rates"]) < self.first_updates // 4:
            return state, []
        is_sick = bool(state["adaptive"]) and self._is_full(state) and self._collapsed(state, look.output_std)
        state = {**state, "looks": state["looks"] + 1, "runs": state["runs"] + 1 if is_sick else 0}
        if state["runs"] < self.looks:
            return state, []
        return self._told(state, _collapsed(look, state))

    def _is_full(self, state: State) -> bool:
        rates, moved = state["rates"], state["moved"]
        is_full = bool(rates) and rates[0] > 0 and rates[0] >= self.full * max(rates)
        return is_full and (moved is None or self.least <= moved <= self.most)

    def _collapsed(self, state: State, std: float) -> bool:
        first, now = state["first_gradients"], state["gradients"]
        shares = [
            now[name] / norm
            for name, norm in first.items()
            if norm > 0 and name != state["output"] and math.isfinite(now.get(name, math.nan))
        ]
        if not shares or not state["std"]:
            return False
        return std < self.answers * state["std"] and median(shares) < self.reaches

    def _has_stalled(self, state: State) -> bool:
        recent, rates = state["recent"], state["rates"]
        is_time = self.stalled <= state["updates"] <= 2 * self.stalled
        if not is_time or (state["moved"] or 0.0) < self.far or state["rate"] < self.full * max(rates):
            return False
        before, now = mean(recent[:16]), mean(recent[16:])
        return now >= before and now > self.left * state["losses"][0]

    def _jump(self, state: State) -> float:
        """Return by how much the loss rose and came down again at the same rate, 0 if it did not."""
        losses, rates = state["losses"], state["rates"]
        if len(losses) < 12 or rates[-1] < self.full * max(rates):
            return 0.0
        first, now = losses[0], mean(losses[-4:])
        height = max(median(losses[i : i + 3]) for i in range(1, len(losses) - 4))
        size = math.log(state["classes"]) if state["classes"] > 1 else abs(first)
        noise = max(losses[-4:]) - min(losses[-4:])
        has_jumped = height - first > max(size, 2 * noise)
        return height - first if has_jumped and now < first else 0.0

    def _told(self, state: State, finding: Finding) -> tuple[State, list[Finding]]:
        return {**state, "told": True, "seen": finding.summary}, [finding]


def _collapsed(look: Inspected, state: State) -> Finding:
    moved = f", which moved layers by {state['moved']:.0%} of their size" if state["moved"] else ""
    summary = (
        f"After first updates at the full rate{moved}, all inputs get nearly the same answer: outputs differ by "
        f"{look.output_std:.1e}, at the beginning by {state['std']:.2g}."
    )
    meaning = "The layers below the output were broken, almost no gradient reaches them, and they can't recover by themselves."
    return _finding(look.step, summary, meaning, state)


def _stalled(step: Step, state: State) -> Finding:
    summary = (
        f"The first update, at the full rate, moved layers by {state['moved']:.0%} of their size; since about update "
        f"{state['updates'] - 32} the loss, {mean(state['recent']):.3g} beside {state['losses'][0]:.3g} at first, falls no more."
    )
    meaning = "The first updates broke something that the run does not find back to at this rate."
    return _finding(step.step, summary, meaning, state)


def _jumped(step: Step, state: State, rise: float) -> Finding:
    summary = (
        f"At the full rate from the first update on, the loss rose from {state['losses'][0]:.3g} by {rise:.3g} and came "
        f"down again by update {step.step}."
    )
    meaning = "The first updates undid what the model knew before; a part of the run was spent on learning it again."
    return _finding(step.step, summary, meaning, state)


def _finding(step: int, summary: str, meaning: str, state: State) -> Finding:
    return Finding(
        step=step,
        monitor="no_warmup",
        code="no_warmup",
        severity="warning",
        summary=summary,
        meaning=meaning,
        causes=["no warm-up: Adam's first steps are of full size in every weight", "learning rate too high"],
        advice=["start again with `warmup_ratio: 0.1`", "or lower `learning_rate`"],
        evidence={
            "onset": 1,
            "learning_rate": state["rates"][0],
            "update_ratio": state["moved"],
            "first_losses": [float(f"{loss:.4g}") for loss in state["losses"][:20]],
        },
    )

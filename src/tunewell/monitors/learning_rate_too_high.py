"""Steps so large that they overwrite what the model knows."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import curve, is_usable, mean, median, pushed, rank_z
from tunewell.records import Finding, Record, Step


class LearningRateTooHigh(msgspec.Struct, frozen=True, kw_only=True):
    """Weights move too far an update, and the loss suffers for it: from the beginning, or since the rate rose.

    **From the beginning**: the middle layer moves by a large share of its own size, and one of these harms is there. The
    loss is worse than guessing; or much of what was learned first is lost again while the rate was still young (a rate
    that went well for long is not suddenly too high); or every layer is rewritten within ten updates and nothing is
    learned, or the gradient of half of them has died of it; or the loss left its beginning upwards many times over and
    not for one batch alone; or the layers went as far as their own size, the loss rose meanwhile, and little of it has
    been learned since. ‖Δθ‖/‖θ‖ near 1e-3 is usual (MiniLM at a good rate: 7e-4; small nets from scratch: up to 3e-2 in their first
    updates); TheDeepChecker and DeepDiagnosis bound it at 1e-1, but a pre-trained model is harmed well below that,
    since what it knows is in its weights. The share alone is no fault, nor is a loss at the level of guessing in the
    first updates: a fresh model's losses lie within a hundredth of it. Together they are.

    **Since it rose**: the rate left its own schedule for more than twice the peak of its warm-up, and losses since are
    surely above those before, or no numbers any more. A warm restart goes no higher than the peak.
    """

    update_ratio: Annotated[float, Meta(gt=0)] = 5e-3
    """‖Δθ‖/‖θ‖ of the middle layer, the largest of the stage's samples."""
    rewriting: Annotated[float, Meta(gt=0)] = 0.1
    """The same in each of the last samples: the bound of TheDeepChecker."""
    above_guessing: Annotated[float, Meta(gt=0)] = 0.02
    """Share by which the mean loss must be above guessing."""
    standard_errors: Annotated[float, Meta(gt=0)] = 2.0
    """The same in standard errors of the mean."""
    lost: Annotated[float, Meta(gt=0)] = 0.7
    """Share of what had been learned that is gone, as in `divergence`."""
    lost_far: Annotated[float, Meta(gt=0)] = 0.4
    """The same where the middle layer moves by `far`."""
    far: Annotated[float, Meta(gt=0)] = 2e-2
    """‖Δθ‖/‖θ‖ at which every layer is rewritten within an epoch of most runs."""
    way: Annotated[float, Meta(gt=0)] = 1.0
    """Length of the middle layer's way since the beginning in its own size (‖Δθ‖/‖θ‖ added up over updates) at which
    it is another layer; usual runs take 50 updates or more."""
    rise: Annotated[float, Meta(gt=1)] = 1.1
    """Multiple of the first losses that five in a row exceed in their middle, on that way,"""
    little: Annotated[float, Meta(gt=0, lt=1)] = 0.8
    """and multiple of them that the last sixteen still cost."""
    blown: Annotated[float, Meta(gt=1)] = 10.0
    """Multiple of the first losses that two of eight cost when a rate drives a model out of its numbers."""
    young: Annotated[int, Meta(ge=1)] = 64
    """Updates after warm-up within which a rate can still turn out too high by itself."""
    jump: Annotated[float, Meta(gt=1)] = 2.0
    """Rate beside the warm-up's peak that is a rise."""
    jump_updates: Annotated[int, Meta(ge=3)] = 6
    """Updates after a rise before it is judged."""
    jump_harm: Annotated[float, Meta(gt=0)] = 0.05
    """Rise of the middle loss since then that is harm, as a share of guessing's loss; and a rank test's z above 3."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = (
        "divergence", "loss_spike", "exploding_gradient", "gradient_spike", "vanishing_gradient", "underfitting",
        "non_finite", "oscillation", "collapse", "dead_units", "saturation",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "seen": "", **_FRESH}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update."""
        before = state["learning"]
        learning = _learning.follow(before, record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, **_FRESH}
        if not isinstance(record, Step):
            return state, []
        ratio = _middle(record.layer_updates)
        if ratio is not None:
            largest = max(ratio, state["largest"] or 0.0)
            ratios = pushed(state["ratios"], ratio, 2)
            way = state["way"] + ratio * (record.step - (state["looked"] or record.step - 1))
            state = {
                **state, "ratios": ratios, "largest": largest, "dead": _dead(record.layer_gradients), "way": way,
                "looked": record.step,
            }  # fmt: skip
        state = {**state, "jumped": self._jumped(state["jumped"], before, record)}
        finding = self._since_it_rose(state, record) or self._from_the_beginning(state, record)
        if finding is None:
            return state, []
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["largest"] is not None else "updates were not measured by layer (`probe_steps`)"
        if not blind and _learning.start(state["learning"]) is None:
            blind = f"fewer than {_learning.FIRST} updates"
        largest = state["largest"] or 0.0
        return judged(
            state, blind=blind, fine=f"layers moved by at most {largest:.1e} of their size an update"
        )

    def _jumped(self, jumped: dict[str, Any] | None, before: State, step: Step) -> dict[str, Any] | None:
        """Return the losses before and since the rate rose, while that is news."""
        loss = step.loss if is_usable(step.loss) and not step.skipped else None
        if jumped is not None:
            if len(jumped["since"]) >= _learning.WINDOW:
                return (
                    jumped if jumped["times"] * self.jump > _phase.rate_jump(before["phase"], step) else None
                )
            return jumped if loss is None else {**jumped, "since": [*jumped["since"], loss]}
        times = _phase.rate_jump(before["phase"], step)
        if times < self.jump or len(before["losses"]) < self.jump_updates:
            return None
        losses = before["losses"][-_learning.WINDOW :]
        since = [] if loss is None else [loss]
        return {"step": step.step, "times": times, "before": losses, "since": since}

    def _since_it_rose(self, state: State, step: Step) -> Finding | None:
        jumped = state["jumped"]
        if jumped is None:
            return None
        usual, since = median(jumped["before"]), jumped["since"]
        if not is_usable(step.loss) or not math.isfinite(step.gradient_norm):
            now = "no numbers any more"
        elif len(since) < self.jump_updates or len(since) >= _learning.WINDOW:
            return None
        else:
            scale = _learning.scale(state["learning"]) or usual
            if median(since) - usual < self.jump_harm * scale or rank_z(since, jumped["before"]) < 3:
                return None
            now = f"near {median(since):.3g}"
        summary = (
            f"At step {jumped['step']} the learning rate rose to {jumped['times']:.3g} times its peak; losses were near "
            f"{usual:.3g} before and are {now}."
        )
        return _finding(
            state, step, summary, jumped["step"], {"never_learned": False, "rate_jump": jumped["times"]}
        )

    def _from_the_beginning(self, state: State, step: Step) -> Finding | None:
        largest = state["largest"] or 0.0
        if largest < self.update_ratio:
            return None
        learning = state["learning"]
        moved = f"Layers moved by up to {largest:.1%} of their size in one update, and"
        first, never = learning["phase"]["first"], _learning.never_learned(learning)
        harm = (
            self._blew_up(state)
            or (self._never_learned(state) if never else "")
            or self._relapsed(state)
            or self._died(state)
            or self._was_overwritten(state)
        )
        return _finding(state, step, f"{moved} {harm}.", first, {"never_learned": never}) if harm else None

    def _never_learned(self, state: State) -> str:
        learning, ratios = state["learning"], state["ratios"]
        share, errors = _learning.excess(learning)
        is_worse = share >= self.above_guessing and errors >= self.standard_errors
        is_rewritten = len(ratios) > 1 and min(ratios) > self.rewriting and _is_past(learning)
        if not is_worse and not is_rewritten:
            return ""
        now = mean(learning["losses"][-_learning.WINDOW :])
        return f"the mean loss, {now:.3g}, is no better than {_reference(learning)}"

    def _relapsed(self, state: State) -> str:
        is_far = state["largest"] >= self.far
        lost, z, rise = (self.lost_far, 3.0, 0.05) if is_far else (self.lost, 4.5, 0.1)
        relapse = _learning.relapse(state["learning"], least_lost=lost, least_rise=rise)
        if relapse is None or relapse.z < z or relapse.borne > self.young:
            return ""
        return f"the loss, {relapse.reached:.3g} at best, is back near {relapse.now:.3g}"

    def _blew_up(self, state: State) -> str:
        learning = state["learning"]
        if learning["phase"]["updates"] > self.young or len(learning["first"]) <= _learning.FEW:
            return ""
        beginning, last = _beginning(learning), learning["losses"][-8:]
        high = [loss for loss in last if loss > self.blown * beginning]
        if len(high) < 2 or beginning < _NOTHING:
            return ""
        return f"losses came to {max(high):.3g}, from {beginning:.3g} at the beginning"

    def _was_overwritten(self, state: State) -> str:
        learning = state["learning"]
        losses, updates = learning["losses"], learning["phase"]["updates"]
        if state["way"] < self.way or not _learning.RECENT + 8 <= len(losses) == updates:
            return ""
        beginning, now = _beginning(learning), median(losses[-_learning.RECENT :])
        highest = max(median(losses[i : i + 5]) for i in range(1, len(losses) - 4))
        if highest < self.rise * beginning or now < self.little * beginning:
            return ""
        return (
            f"by {state['way']:.1f} times their size since the beginning; the loss rose from {beginning:.3g} to {highest:.3g} "
            f"meanwhile and is still {now:.3g}"
        )

    def _died(self, state: State) -> str:
        if state["largest"] < self.rewriting or state["dead"] < 0.5 or not _is_past(state["learning"]):
            return ""
        return f"no gradient reaches {state['dead']:.0%} of them any more"


_NOTHING = 1e-6
"""A first loss of less leaves nothing to compare with."""
_FRESH: State = {"ratios": [], "largest": None, "dead": 0.0, "jumped": None, "way": 0.0, "looked": 0}


def _beginning(learning: State) -> float:
    """Return what the first losses of the run were, at least what guessing costs where that is known."""
    return float(max(median(learning["first"][: _learning.FEW]), learning["uniform"] or 1e-12))


def _dead(norms: dict[str, float] | None) -> float:
    """Return the share of layers that get less than a millionth of the strongest layer's gradient."""
    found = [norm for norm in (norms or {}).values() if is_usable(norm)]
    return sum(norm <= 1e-6 * max(found) for norm in found) / len(found) if len(found) > 1 else 0.0


def _middle(updates: dict[str, float] | None) -> float | None:
    """Return ‖Δθ‖/‖θ‖ of the middle layer."""
    ratios = [ratio for ratio in (updates or {}).values() if is_usable(ratio)]
    return median(ratios) if ratios else None


def _is_past(learning: State) -> bool:
    return bool(learning["phase"]["past_warmup"] >= _learning.WINDOW)


def _reference(learning: State) -> str:
    what = "guessing" if learning["uniform"] is not None else "at the beginning"
    return f"{what} ({_learning.start(learning):.3g})"


def _finding(state: State, step: Step, summary: str, onset: int, evidence: dict[str, Any]) -> Finding:
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="learning_rate_too_high",
        code="learning_rate_too_high",
        severity="critical",
        summary=summary,
        meaning="Steps this large overwrite what the pre-trained model knows before anything new is learned.",
        causes=["learning rate too high", "no warm-up"],
        advice=[
            f"lower `learning_rate` to a tenth (now {step.learning_rate:.2g}) and "
            + (f"go back to before step {onset}" if onset > 1 else "start again"),
            "raise `warmup_ratio`",
        ],
        evidence={
            "onset": onset,
            "update_ratio": state["largest"],
            "learning_rate": step.learning_rate,
            "curve": curve(state["learning"]["losses"]),
            **evidence,
        },
    )

"""Steps so large that they overwrite what the model knows."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import curve, mean, median, standard_error
from tunewell.records import Finding, Record, Step


class LearningRateTooHigh(msgspec.Struct, frozen=True, kw_only=True):
    """Weights move too far an update, and the loss suffers for it: from the beginning, or since the rate jumped.

    **From the beginning**: the middle layer moves by a large share of its own size and the loss is, if anything, worse
    than guessing. ‖Δθ‖/‖θ‖ near 1e-3 is usual (MiniLM at a good rate: 7e-4); TheDeepChecker and DeepDiagnosis bound
    it at 1e-1, but a pre-trained model is harmed well below that, since what it knows is in its weights. The share
    alone is no fault (new layers, training from scratch), nor is a loss at the level of guessing in the first
    updates: a fresh model's losses lie within a hundredth of it. Together they are.

    **Since it jumped**: the rate left its own schedule for more than twice its peak, and losses since are surely
    above those before. A warm restart goes no higher than the peak.
    """

    update_ratio: Annotated[float, Meta(gt=0)] = 5e-3
    """‖Δθ‖/‖θ‖ of the middle layer, the largest of the stage's samples."""
    above_guessing: Annotated[float, Meta(gt=0)] = 0.02
    """Share by which the mean loss must be above guessing."""
    standard_errors: Annotated[float, Meta(gt=0)] = 2.0
    """The same in standard errors of the mean."""
    jump: Annotated[float, Meta(gt=1)] = 2.0
    """Rate beside its peak before that is a jump."""
    jump_updates: Annotated[int, Meta(ge=3)] = 6
    """Updates after a jump before it is judged."""
    jump_harm: Annotated[float, Meta(gt=0)] = 0.1
    """Rise of the mean loss since the jump that is harm, as a share of guessing's loss; and 3 standard errors."""

    explains: ClassVar[tuple[str, ...]] = (
        "divergence", "loss_spike", "exploding_gradient", "vanishing_gradient", "underfitting", "non_finite",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "largest": None, "jumped": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made."""
        before = state["learning"]
        learning = _learning.follow(before, record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, "largest": None, "jumped": None}
        if not isinstance(record, Step) or record.skipped or not math.isfinite(record.loss):
            return state, []
        if record.layer_updates:
            ratio = median([*record.layer_updates.values()])
            if math.isfinite(ratio) and ratio > (state["largest"] or 0):
                state = {**state, "largest": ratio}
        state = {**state, "jumped": self._jumped(state["jumped"], before, record)}
        finding = self._since_it_jumped(state, record) or self._from_the_beginning(state, record)
        if finding is None:
            return state, []
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["largest"] is not None else "updates were not measured by layer (`probe_steps`)"
        if not blind and _learning.guessing(state["learning"]) is None:
            blind = "what guessing would cost is not known for this task"
        largest = state["largest"] or 0.0
        return judged(
            state, blind=blind, fine=f"layers moved by at most {largest:.1e} of their size an update"
        )

    def _jumped(self, jumped: dict[str, Any] | None, before: State, step: Step) -> dict[str, Any] | None:
        times = _phase.rate_jump(before["phase"], step)
        if times > self.jump and len(before["losses"]) >= self.jump_updates:
            losses = before["losses"][-_learning.WINDOW :]
            return {"step": step.step, "times": times, "before": losses, "since": [step.loss]}
        if jumped is None or len(jumped["since"]) >= _learning.WINDOW:
            return None
        return {**jumped, "since": [*jumped["since"], step.loss]}

    def _since_it_jumped(self, state: State, step: Step) -> Finding | None:
        jumped = state["jumped"]
        if jumped is None or len(jumped["since"]) < self.jump_updates:
            return None
        usual, now = mean(jumped["before"]), mean(jumped["since"])
        noise = math.hypot(standard_error(jumped["before"]), standard_error(jumped["since"]))
        scale = _learning.scale(state["learning"]) or usual
        if now - usual < max(3 * noise, self.jump_harm * scale):
            return None
        summary = (
            f"At step {jumped['step']} the learning rate rose to {jumped['times']:.3g} times its peak; the mean loss "
            f"went from {usual:.3g} to {now:.3g}."
        )
        return _finding(
            state, step, summary, jumped["step"], {"never_learned": False, "rate_jump": jumped["times"]}
        )

    def _from_the_beginning(self, state: State, step: Step) -> Finding | None:
        learning, largest = state["learning"], state["largest"] or 0.0
        if largest < self.update_ratio or not _learning.never_learned(learning):
            return None
        share, errors = _learning.excess(learning)
        if share < self.above_guessing or errors < self.standard_errors:
            return None
        now = mean(learning["losses"][-_learning.WINDOW :])
        summary = (
            f"Layers moved by up to {largest:.1%} of their size in one update, and the mean loss, {now:.3g}, "
            f"is worse than guessing ({_learning.guessing(learning):.3g})."
        )
        return _finding(state, step, summary, learning["phase"]["first"], {"never_learned": True})


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

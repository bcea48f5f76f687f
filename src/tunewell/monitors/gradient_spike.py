"""One update whose gradient is far beyond the noise of those before."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import curve, is_usable, median, pushed, rank_z, spread
from tunewell.records import Finding, Record, Step


class GradientSpike(msgspec.Struct, frozen=True, kw_only=True):
    """One update's gradient norm is far beyond its noise, though its batch cost no more than others.

    Norms are judged as logarithms, because their noise is a factor (as AdaGC and ZClip's successors do): a spike is
    many robust standard deviations above the middle of the last 64, and several times the highest of them. ZClip clips
    from z = 2.5 on, which an update in a hundred reaches by chance: good for clipping, not for telling. A batch
    whose loss stands out as well is `loss_spike`'s matter, growth that stays is `exploding_gradient`'s.

    A spike that clipping or the next updates have mended is info. It is a warning if it harmed: the losses of the
    next 8 updates are surely above those before, by a share of what had been learned.
    """

    window: Annotated[int, Meta(ge=20)] = 64
    """Updates compared with."""
    armed: Annotated[int, Meta(ge=10)] = 20
    """Updates of a stage before anything is judged."""
    sigmas: Annotated[float, Meta(gt=0)] = 6.0
    """Robust standard deviations of the log norm."""
    times: Annotated[float, Meta(gt=1)] = 5.0
    """Multiple of the highest norm of the window."""
    after: Annotated[int, Meta(ge=5)] = 8
    """Updates by which harm is judged."""
    lost: Annotated[float, Meta(gt=0)] = 0.3
    """Share of what had been learned whose loss is harm; and a rank test's z above 3."""
    harm: Annotated[float, Meta(gt=0)] = 0.1
    """The same as a share of guessing's loss."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = ("loss_spike", "divergence", "non_finite", "collapse")

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "norms": [], "spike": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made."""
        before = state["learning"]
        learning = _learning.follow(before, record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, "norms": [], "spike": None}
        if not isinstance(record, Step) or record.skipped or not is_usable(record.loss):
            return state, []
        if not is_usable(record.gradient_norm) or record.gradient_norm <= 0:
            return state, []
        finding, spike = None, state["spike"]
        if spike is not None:
            spike = {**spike, "after": [*spike["after"], record.loss]}
            if len(spike["after"]) == self.after:
                finding, spike = self._harmful(learning, spike, record), None
        elif self._stands_out(state["norms"], before["losses"], record):
            spike = self._spike(state["norms"], before["losses"], record)
            finding = _finding(record, spike, "")
        norms = pushed(state["norms"], math.log(record.gradient_norm), self.window)
        state = {**state, "norms": norms, "spike": spike}
        return (state, []) if finding is None else ({**state, "seen": finding.summary}, [finding])

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        enough = len(state["norms"]) >= self.armed
        blind = "" if enough else f"fewer than {self.armed} updates to compare with"
        return judged(state, blind=blind, fine="no update's gradient stood out from those before")

    def _stands_out(self, norms: list[float], losses: list[float], step: Step) -> bool:
        if len(norms) < self.armed or len(losses) < self.armed:
            return False
        norm = math.log(step.gradient_norm)
        if norm < max(norms) + math.log(self.times) or norm < median(norms) + self.sigmas * spread(norms):
            return False
        return step.differentiated < 2 * sorted(losses)[-3]

    def _spike(self, norms: list[float], losses: list[float], step: Step) -> dict[str, Any]:
        return {
            "step": step.step,
            "norm": step.gradient_norm,
            "usual": math.exp(median(norms)),
            "before": losses[-self.window // 2 :],
            "after": [],
            "norms": curve([math.exp(norm) for norm in norms]),
        }

    def _harmful(self, learning: State, spike: dict[str, Any], step: Step) -> Finding | None:
        before, now = median(spike["before"]), median(spike["after"])
        if now - before < self.harm * (_learning.scale(learning) or before):
            return None
        if _learning.lost(learning, before, now) < self.lost or rank_z(spike["after"], spike["before"]) < 3:
            return None
        return _finding(step, spike, f" Losses went from about {before:.3g} to {now:.3g} with it.")


def _finding(step: Step, spike: dict[str, Any], harm: str) -> Finding:
    norm, usual = spike["norm"], spike["usual"]
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="gradient_spike",
        code="gradient_spike",
        severity="warning" if harm else "info",
        summary=f"The gradient of step {spike['step']} had norm {norm:.3g}, {norm / usual:.0f} times the usual {usual:.3g}.",
        meaning="One update pointed far beyond all others."
        + (harm or " If the loss stays where it was, no harm is done."),
        causes=[
            "a bad or unlike row, or a target that is far off",
            "a part of the model near a pole: a division, a root or a norm of almost 0",
            "learning rate too high, if it comes again",
        ],
        advice=[
            f"set `max_grad_norm` to a few times the usual norm, {usual:.2g}",
            "look at the rows of this batch",
            *([f"go back to before step {spike['step']}"] if harm else []),
        ],
        evidence={
            "onset": spike["step"],
            "norm": norm,
            "usual_norm": usual,
            "harmful": bool(harm),
            "learning_rate": step.learning_rate,
            "curve": spike["norms"],
        },
    )

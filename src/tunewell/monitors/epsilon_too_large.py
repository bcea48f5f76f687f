"""Adam's ε so large that it rules the size of the steps."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors import _progress
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import median
from tunewell.records import Finding, Record, StageBegan, Started, Step


class EpsilonTooLarge(msgspec.Struct, frozen=True, kw_only=True):
    """Adam divides by √v + ε, and ε is the larger part of it for most weights.

    Then steps are no longer of the size of the rate: they shrink with the gradient, and layers with small gradients
    stand still. PyTorch's 1e-8 is meant to do no more than keep a division by zero away; 1e-6 (RoBERTa) and 1e-7
    (Keras) are usual too. A larger ε that someone has tuned together with the rate lets the run learn as others do, so
    that harm is asked for as well: the middle layer moves by less than a thousandth of its size an update, or the
    loss has not fallen by a quarter when it had its chance.
    """

    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of the weights whose √v is below ε."""
    usual: Annotated[float, Meta(gt=0)] = 1e-6
    """An ε up to this is usual; that it rules shows gradients that are too small, another fault."""
    update_ratio: Annotated[float, Meta(gt=0)] = 1e-3
    """‖Δθ‖/‖θ‖ of the middle layer under which the steps are too small."""
    rate: Annotated[float, Meta(gt=0, le=1)] = 0.25
    """Share of its peak that the rate must have for that to count."""
    fall: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    """Share by which the loss must have fallen otherwise, after 32 updates."""
    looks: Annotated[int, Meta(ge=1)] = 2
    """Looks in a row."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "learning_rate_too_low", "underfitting", "vanishing_gradient", "plateau", "parameters_not_updating",
        "cannot_fit_a_batch",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "progress": _progress.init(),
            "update": None,
            "peak": 0.0,
            "runs": 0,
            "looks": 0,
            "first_seen": None,
            "largest": 0.0,
            "told": False,
            "seen": "",
        }

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look inside."""
        match record:
            case Started() | StageBegan():
                return {**self.init(), "seen": state["seen"]}, []
            case Step():
                rate = record.learning_rate if math.isfinite(record.learning_rate) else 0.0
                peak = max(state["peak"], rate)
                # At a schedule's end all steps are small.
                is_due = bool(record.layer_updates) and rate >= self.rate * peak
                ratio = median([*(record.layer_updates or {}).values()]) if is_due else math.nan
                progress = _progress.follow(state["progress"], record)
                return {
                    **state,
                    "progress": progress,
                    "peak": peak,
                    "update": ratio if math.isfinite(ratio) else None,
                }, []
            case Inspected(epsilon=float(), epsilon_share=float() as share) if math.isfinite(share):
                return self._look(state, record, share)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looks"] else "the optimizer has no ε, or it was not looked at"
        return judged(
            state, blind=blind, fine=f"ε is the larger part for at most {state['largest']:.0%} of the weights"
        )

    def _look(self, state: State, look: Inspected, share: float) -> tuple[State, list[Finding]]:
        epsilon, ratio = look.epsilon or 0.0, state["update"]
        progress = state["progress"]
        is_small = ratio is not None and ratio < self.update_ratio
        is_slow = _progress.is_known(progress) and not _progress.has_fallen(progress, self.fall)
        rules = share >= self.share and epsilon > self.usual and (is_small or is_slow or state["told"])
        state = {
            **state,
            "looks": state["looks"] + 1,
            "largest": max(state["largest"], share),
            "runs": state["runs"] + 1 if rules else 0,
            "first_seen": (state["first_seen"] or look.step) if rules else None,
        }
        if state["runs"] < self.looks:
            return state, []
        finding = _finding(state, look, share)
        return {**state, "told": True, "seen": finding.summary}, [finding]


def _finding(state: State, look: Inspected, share: float) -> Finding:
    ratio = state["update"]
    moved = f"; layers move by {ratio:.1e} of their size an update" if ratio is not None else ""
    return Finding(
        step=look.step,
        monitor="epsilon_too_large",
        code="epsilon_too_large",
        severity="warning",
        summary=f"The optimizer's ε, {look.epsilon:.0e}, is larger than √v for {share:.0%} of the weights{moved}.",
        meaning="Steps shrink with the gradient, as in plain SGD at a tiny rate, in place of being of the rate's size.",
        causes=["an ε far above the usual 1e-8"],
        advice=["set `adam_epsilon: 1e-8`", "or raise `learning_rate` in the same measure"],
        evidence={
            "onset": state["first_seen"],
            "epsilon": look.epsilon,
            "epsilon_share": share,
            "update_ratio": ratio,
        },
    )

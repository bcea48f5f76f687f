"""A loss that has left what it had reached, or was never better than guessing."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import change_point, curve, mean, median, rank_z
from tunewell.records import Finding, Record, Step


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Training makes the model worse: the loss has left its best level for good, or is worse than guessing.

    **Left its best**: most of what had been learned is lost. The middle of the last 32 losses is that far above the
    middle of the best 64 in a row, and a rank test is sure of it: z above 5 stays out of reach of noise, also though
    the best window was picked for being best. (TheDeepChecker asks for twice the least loss; a classifier that falls
    back from 0.45 to guessing at 0.69 has lost everything without that.)

    **Worse than guessing**: in its first updates the run has never been better than guessing, and the mean of the
    last 32 losses is above it by a share and by standard errors that a fresh head does not show: its outputs are
    near equal odds, so that its losses lie close around log(classes). A loss that is on its way down is left alone.
    """

    recent: Annotated[int, Meta(ge=8)] = 32
    """Updates whose losses are judged."""
    best: Annotated[int, Meta(ge=16)] = 64
    """Updates of the best window."""
    harm: Annotated[float, Meta(gt=0)] = 0.2
    """Least rise, as a share of guessing's loss."""
    lost: Annotated[float, Meta(gt=0)] = 0.7
    """The same as a share of what had been learned: harder rows, as in a curriculum, cost less than that."""
    rank_z: Annotated[float, Meta(gt=0)] = 5.0
    """Least z of the rank test."""
    above_guessing: Annotated[float, Meta(gt=0)] = 0.08
    """Share by which the mean must be above guessing."""
    standard_errors: Annotated[float, Meta(gt=0)] = 2.5
    """The same in standard errors of the mean."""

    explains: ClassVar[tuple[str, ...]] = (
        "loss_spike", "exploding_gradient", "vanishing_gradient", "underfitting", "non_finite",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "losses": [], "best": [], "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made."""
        learning = _learning.follow(state["learning"], record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, "losses": [], "best": []}
        if not isinstance(record, Step) or record.skipped or not math.isfinite(record.loss):
            return state, []
        losses = [*state["losses"], record.loss][-self.best :]
        best = state["best"]
        if len(losses) == self.best and (not best or mean(losses) < mean(best)):
            best = losses
        state = {**state, "losses": losses, "best": best}
        finding = self._left_its_best(state, record) or self._worse_than_guessing(state, record)
        if finding is None:
            return state, []
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        needed = self.best + self.recent // 2
        blind = "" if state["best"] else f"fewer than {needed} updates in this stage"
        return judged(state, blind=blind, fine="the loss has not left its best level for good")

    def _left_its_best(self, state: State, step: Step) -> Finding | None:
        losses, best = state["losses"], state["best"]
        scale = _learning.scale(state["learning"])
        if not best or scale is None:
            return None
        recent = losses[-self.recent :]
        reached, now = median(best), median(recent)
        if now - reached < self.harm * scale or _learning.lost(state["learning"], reached, now) < self.lost:
            return None
        if rank_z(recent, best) < self.rank_z:
            return None
        onset = step.step - len(losses) + 1 + change_point(losses, (reached + now) / 2)
        return Finding(
            step=step.step,
            cursor=step.cursor,
            monitor="divergence",
            code="divergence",
            severity="critical",
            summary=f"The loss had reached about {reached:.3g} and has been near {now:.3g} since step {onset}.",
            meaning="The model is losing what it had learned, and training on makes it no better.",
            causes=[
                "learning rate too high",
                "gradients too large for the step",
                "bad or unlike rows from there on",
            ],
            advice=[
                f"go back to a checkpoint before step {onset} and halve `learning_rate`, or take a tenth",
                "set `max_grad_norm: 1.0`, raise `warmup_ratio`",
            ],
            evidence={
                "onset": onset,
                "never_learned": False,
                "reached": reached,
                "now": now,
                "learning_rate": step.learning_rate,
                "curve": curve(losses),
            },
        )

    def _worse_than_guessing(self, state: State, step: Step) -> Finding | None:
        learning = state["learning"]
        if not _learning.never_learned(learning):
            return None
        share, errors = _learning.excess(learning)
        if share < self.above_guessing or errors < self.standard_errors:
            return None
        losses = learning["losses"][-_learning.WINDOW :]
        half = len(losses) // 2
        if median(losses[half:]) < 0.8 * median(losses[:half]):
            return None  # on its way down: a bad start that is being mended
        now, chance = mean(losses), _learning.guessing(learning)
        first = learning["phase"]["first"]
        return Finding(
            step=step.step,
            cursor=step.cursor,
            monitor="divergence",
            code="divergence",
            severity="critical",
            summary=f"The mean loss of the last {len(losses)} updates is {now:.3g}; guessing would cost {chance:.3g}.",
            meaning="The model is not learning: it is worse than guessing and swings from one wrong answer to another.",
            causes=[
                "learning rate too high",
                "no warm-up",
                "new layers that begin far too large",
                "labels mixed up",
            ],
            advice=["lower `learning_rate` to a tenth and start again", "raise `warmup_ratio`"],
            evidence={
                "onset": first,
                "never_learned": True,
                "now": now,
                "guessing": chance,
                "learning_rate": step.learning_rate,
                "curve": curve(losses),
            },
        )

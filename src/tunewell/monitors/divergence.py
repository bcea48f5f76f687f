"""A loss that has left what it had reached, or was never better than guessing."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import change_point, curve, is_usable, mean
from tunewell.records import Finding, Record, Step


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Training makes the model worse: the loss has left its best level for good, or is worse than guessing.

    **Left its best**: most of what had been learned is lost. The middle of the last 16 losses is that far above the
    middle of the best 32 in a row, and a rank test is sure of it: z above 4.5 stays out of reach of noise, also though
    the best window was picked for being best (5.6 is full separation). (TheDeepChecker asks for twice the least loss;
    a classifier that falls back from 0.45 to guessing at 0.69 has lost everything without that.)

    **Worse than guessing**: in its first updates the run has never been better than guessing, and the mean of the
    last 32 losses is above it by a share and by standard errors that a fresh head does not show: its outputs are
    near equal odds, so that its losses lie close around log(classes). A loss that is on its way down is left alone.
    """

    harm: Annotated[float, Meta(gt=0)] = 0.1
    """Least rise, as a share of guessing's loss: with less, nothing worth losing had been learned."""
    lost: Annotated[float, Meta(gt=0)] = 0.7
    """The same as a share of what had been learned: harder rows, as in a curriculum, cost less than that."""
    rank_z: Annotated[float, Meta(gt=0)] = 4.5
    """Least z of the rank test."""
    above_guessing: Annotated[float, Meta(gt=0)] = 0.08
    """Share by which the mean must be above guessing."""
    standard_errors: Annotated[float, Meta(gt=0)] = 2.5
    """The same in standard errors of the mean."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = (
        "loss_spike", "exploding_gradient", "vanishing_gradient", "underfitting", "non_finite",
        "oscillation", "collapse",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made."""
        state = {**state, "learning": _learning.follow(state["learning"], record)}
        if not isinstance(record, Step) or record.skipped or not is_usable(record.loss):
            return state, []
        finding = self._left_its_best(state, record) or self._worse_than_guessing(state, record)
        if finding is None:
            return state, []
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        needed = _learning.WINDOW + _learning.RECENT
        blind = (
            "" if len(state["learning"]["losses"]) >= needed else f"fewer than {needed} updates in this stage"
        )
        return judged(state, blind=blind, fine="the loss has not left its best level for good")

    def _left_its_best(self, state: State, step: Step) -> Finding | None:
        learning = state["learning"]
        relapse = _learning.relapse(learning, least_lost=self.lost, least_rise=self.harm)
        if relapse is None or relapse.z < self.rank_z:
            return None
        reached, now = relapse.reached, relapse.now
        losses = learning["losses"]
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
                "onset": max(1, onset),
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
        now, chance = mean(losses), _learning.start(learning) or 0.0
        first = learning["phase"]["first"]
        return Finding(
            step=step.step,
            cursor=step.cursor,
            monitor="divergence",
            code="divergence",
            severity="critical",
            summary=f"The mean loss of the last {len(losses)} updates is {now:.3g}; {_reference(learning)} {chance:.3g}.",
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


def _reference(learning: State) -> str:
    return "guessing would cost" if learning["uniform"] is not None else "its first ones were near"

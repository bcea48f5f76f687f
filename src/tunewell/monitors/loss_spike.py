"""A loss far above what the run's batches cost just before."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import (
    curve,
    is_lastingly_above,
    is_usable,
    median,
    pushed,
    quantile,
    spread,
)
from tunewell.records import Finding, Record, Severity, Step

LAST = 32
"""Updates that one batch is compared with: a loss that falls makes older ones no measure."""
_LEAST = 1e-12


class LossSpike(msgspec.Struct, frozen=True, kw_only=True):
    """A loss far above what the batches just before cost: of one batch, or lasting.

    One high batch that heals by itself harms little: it is told (with the row, where one stands out), as a warning
    only when it is far beyond anything the run's noise has shown. A **lasting** spike, 5 of the last 6 batches above
    the 95th percentile of those before, is a change of the model, not of the batch: by chance that has odds of 2 in
    a million an update, whatever the shape of the noise. It must also be large beside the noise, beside the loss
    of guessing (a loss that was nearly zero may grow many times over and still be nearly zero) and beside what the
    run had learned.
    """

    window: Annotated[int, Meta(ge=20)] = 128
    """Updates compared with, as OLMo-core's step skipping does."""
    armed: Annotated[int, Meta(ge=10)] = 20
    """Updates of a stage before anything is judged: fewer don't show the noise."""
    recent: Annotated[int, Meta(ge=3)] = 6
    """Updates that a lasting spike is judged by; all but one must be high."""
    high: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    """Quantile of the window that a high batch exceeds."""
    harm: Annotated[float, Meta(gt=0)] = 0.15
    """Rise of the middle batch that matters, as a share of guessing's loss."""
    lost: Annotated[float, Meta(gt=0)] = 0.7
    """The same as a share of what had been learned: harder rows, as in a curriculum, cost less than that."""
    sigmas: Annotated[float, Meta(gt=0)] = 2.0
    """The same in robust standard deviations."""
    learned: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    """Share of guessing's loss that must have been learned before a return to guessing is a loss of it."""
    above: Annotated[float, Meta(gt=1)] = 1.3
    """Multiple of guessing's loss that counts where less was learned."""
    single: Annotated[float, Meta(gt=1)] = 3.0
    """One batch is told from this multiple of the third-highest of the last 32 losses on (info)."""
    single_severe: Annotated[float, Meta(gt=1)] = 5.0
    """As a warning: from this multiple of the highest of them on, and"""
    single_sigmas: Annotated[float, Meta(gt=0)] = 5.0
    """so many robust standard deviations above their middle, both as logarithms: losses of batches of one row have heavy
    tails, and lie close to log-normal once a model is sure of most rows."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = (
        "divergence", "exploding_gradient", "non_finite", "oscillation", "collapse",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "learning": _learning.init(),
            "window": [],
            "paid": [],
            "rate_jump": None,
            "quiet": 0,
            "seen": "",
        }

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made."""
        before = state["learning"]
        learning = _learning.follow(before, record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, "window": [], "paid": [], "rate_jump": None}
        if not isinstance(record, Step) or record.skipped or not is_usable(record.loss):
            return state, []
        jump = _phase.rate_jump(before["phase"], record)
        window = [*state["window"], record.loss][-self.window - self.recent :]
        state = {
            **state,
            "window": window,
            "paid": pushed(state["paid"], record.differentiated, LAST + 1),
            "rate_jump": state["rate_jump"] or ([record.step, jump] if jump > 1 else None),
            "quiet": max(0, state["quiet"] - 1),
        }
        finding = self._lasting(state, record) or self._single(state, record)
        if finding is None:
            return state, []
        return {**state, "quiet": self.recent, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = (
            "" if len(state["window"]) > self.armed else f"fewer than {self.armed} updates to compare with"
        )
        return judged(state, blind=blind, fine="no batch or run of batches cost far more than those before")

    def _lasting(self, state: State, step: Step) -> Finding | None:
        losses = state["window"]
        reference, recent = losses[: -self.recent], losses[-self.recent :]
        if len(reference) < self.armed:
            return None
        if not is_lastingly_above(recent, reference, 1 - self.high):
            return None
        usual, now = median(reference), median(recent)
        matters = self.harm * (_learning.scale(state["learning"]) or usual)
        if now - usual < max(matters, self.sigmas * spread(reference)):
            return None
        if not self._is_loss_of_what_was_learned(state["learning"], usual, now):
            return None
        top = quantile(reference, self.high)
        onset = step.step - self.recent + 1 + next((i for i, loss in enumerate(recent) if loss > top), 0)
        return Finding(
            step=step.step,
            cursor=step.cursor,
            monitor="loss_spike",
            code="loss_spike",
            severity="warning",
            summary=f"The loss rose from about {usual:.3g} to {now:.3g} at step {onset} and stays there.",
            meaning="Not one batch but the model itself has become worse: what was learned is being lost.",
            causes=[
                *_jump_cause(state["rate_jump"]),
                "learning rate too high",
                "a run of bad or unlike rows",
            ],
            advice=[
                f"go back to a checkpoint before step {onset} and lower `learning_rate`",
                "set `max_grad_norm: 1.0`, raise `warmup_ratio`",
            ],
            evidence={
                "onset": onset,
                "sustained": True,
                "usual": usual,
                "now": now,
                "learning_rate": step.learning_rate,
                "curve": curve(losses),
            },
        )

    def _is_loss_of_what_was_learned(self, learning: State, usual: float, now: float) -> bool:
        beginning = _learning.start(learning)
        if beginning is not None and usual > (1 - self.learned) * beginning:
            return now > self.above * beginning
        return _learning.lost(learning, usual, now) >= self.lost

    def _single(self, state: State, step: Step) -> Finding | None:
        reference, loss = state["paid"][:-1], step.differentiated
        if len(state["window"]) <= self.armed or state["quiet"] or not is_usable(loss):
            return None  # several high batches on end are the lasting spike's matter
        highest = max(reference)
        if loss < highest:
            return None  # the usual case, told cheaply
        third = sorted(reference)[-3]
        if loss < self.single * third:
            return None
        usual = median(reference)
        # One row that is told surely and wrongly costs a few times what guessing does.
        matters = max(0.5, 4 / max(1, step.rows)) * (_learning.scale(state["learning"]) or usual)
        if loss - usual < max(matters, 10 * spread(reference)):
            return None
        logs = [math.log(max(one, _LEAST)) for one in reference]
        above = math.log(max(loss, _LEAST)) - median(logs)
        is_severe = loss > self.single_severe * highest and above > self.single_sigmas * spread(logs)
        is_factor = step.given is not None and step.loss < self.single * third
        return _of_one_batch(step, reference, "warning" if is_severe else "info", is_factor=is_factor)


def _of_one_batch(step: Step, reference: list[float], severity: Severity, *, is_factor: bool) -> Finding:
    loss, usual = step.differentiated, median(reference)
    whole = step.loss * max(1, step.rows)
    rows = [row for row, one in step.worst_rows if one * 2 > whole > 0]
    share = max((one / whole for row, one in step.worst_rows if row in rows), default=0.0)
    named = f"; row {rows[0]} made {share:.0%} of it" if rows else ""
    times = f", {loss / usual:.0f} times the usual {usual:.3g}" if usual > 0 else ""
    own = f"; its targets' own loss was {step.loss:.3g}, so a weight or a factor made it" if is_factor else ""
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="loss_spike",
        code="loss_spike",
        severity=severity,
        summary=f"The loss of step {step.step} was {loss:.3g}{times}{named}{own}.",
        meaning=(
            "One batch pulled far harder than the others, though its rows are as easy."
            if is_factor
            else "One batch was far harder than the others. If the loss is back at once, little is lost."
        ),
        causes=["a weight of its rows, or a factor of the loss, that is far too large"] * is_factor
        or [
            "a bad or unlike row",
            "a wrong label or target",
            "learning rate too high, if it comes again",
        ],
        advice=[
            "look at what multiplies the loss: weights, a scale"
            if is_factor
            else "look at the rows of this batch",
            "set `max_grad_norm: 1.0`, so that one batch moves little",
        ],
        evidence={
            "onset": step.step,
            "sustained": False,
            "usual": usual,
            "third_highest": sorted(reference)[-3],
            "learning_rate": step.learning_rate,
            "worst_rows": [list(pair) for pair in step.worst_rows[:5]],
            "own_loss": step.loss,
            "curve": curve(reference),
        },
        rows=rows,
    )


def _jump_cause(rate_jump: list[float] | None) -> list[str]:
    if rate_jump is None:
        return []
    step, times = rate_jump
    return [f"the learning rate itself, which became {times:.3g} times its highest before at step {step:.0f}"]

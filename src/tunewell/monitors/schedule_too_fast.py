"""A schedule that has spent the learning rate long before the run ends."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors import _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, StageBegan, Started, Step


class ScheduleTooFast(msgspec.Struct, frozen=True, kw_only=True):
    """The rate is on its way to zero while most of the run is still to come, or is there.

    **On its way**: the schedule is moved on more than once an update, as when `scheduler.step()` stands in the loop
    over micro-batches, and the rate's course since its peak, taken as part of a line or of a cosine, whichever ends
    later, ends well before the run does. Moving it on several times is no fault by itself: some libraries do
    so with a schedule that was planned for it, and that one ends with the run.

    **There**: the rate has been under a ten-thousandth of its peak for a while, and a good part of the run is left.
    Steps down by tenths, exponential decays and warm restarts don't come to that, or don't stay.
    """

    ends_before: Annotated[float, Meta(gt=0, lt=1)] = 0.8
    """Share of the run before which the rate must reach zero."""
    fallen: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    """Share of its peak that the rate must have fallen under before its course is judged."""
    nothing: Annotated[float, Meta(gt=0)] = 1e-4
    """Share of its peak that counts as no rate."""
    stays: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Share of the run for which it must have stayed there."""
    left: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    """Share of the run that must be left then."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "learning_rate_too_low", "underfitting", "plateau", "no_warmup", "parameters_not_updating",
        "overtraining",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "phase": _phase.init(), "rate": 0.0, "peak": 0.0, "peak_step": 0, "ticks": 0, "nothing_since": None,
            "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the rate at each update, and how often the schedule was moved on."""
        if isinstance(record, Inspected):
            # The newest answer counts: a loop may catch up on its schedule at its first updates.
            ticks = state["ticks"] if record.schedule_ticks is None else record.schedule_ticks
            return {**state, "ticks": ticks}, []
        phase = _phase.follow(state["phase"], record)
        state = {**state, "phase": phase}
        if _phase.begins(phase, record):
            state = {**state, "peak": 0.0, "nothing_since": None}
        if not isinstance(record, Step) or not math.isfinite(record.learning_rate):
            return state, []
        rate = record.learning_rate
        if rate >= 0.999 * state["peak"]:
            state = {**state, "peak": max(rate, state["peak"]), "peak_step": record.step}
        is_nothing = rate <= self.nothing * state["peak"] and state["peak"] > 0
        since = (state["nothing_since"] or record.step) if is_nothing else None
        state = {**state, "rate": rate, "nothing_since": since}
        length = phase["last"] - phase["first"] + 1
        if phase["last"] <= 0 or length < 20:
            return state, []
        finding = self._on_its_way(state, record, length) or self._there(state, record, length)
        if finding is None:
            return state, []
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        phase = state["phase"]
        blind = "" if phase["updates"] > 1 else "too few updates"
        if not blind and phase["last"] <= 0:
            blind = "the run's length is not known"
        if not blind and phase["past_warmup"] < 2:
            blind = "the rate has not stopped rising"
        return judged(state, blind=blind, fine="the learning rate lasts to the end")

    def _on_its_way(self, state: State, step: Step, length: int) -> Finding | None:
        share = state["rate"] / state["peak"] if state["peak"] > 0 else 1.0
        since = step.step - state["peak_step"]
        if state["ticks"] < 2 or share >= self.fallen or since < 3:
            return None
        end = state["peak_step"] + max(since / (1 - share), since * math.pi / math.acos(2 * share - 1))
        if end - state["phase"]["first"] + 1 >= self.ends_before * length:
            return None
        how = f"is moved on {state['ticks']} times an update and ends at about update {math.ceil(end)}"
        return _finding(
            state, step, f"The schedule of the learning rate {how} of {state['phase']['last']}.", end
        )

    def _there(self, state: State, step: Step, length: int) -> Finding | None:
        since = state["nothing_since"]
        if since is None or state["phase"]["last"] - step.step < self.left * length:
            return None
        if step.step - since + 1 < max(5, self.stays * length):
            return None
        summary = (
            f"Since update {since} of {state['phase']['last']} the learning rate is {state['rate']:.2g}, down from "
            f"{state['peak']:.2g}."
        )
        return _finding(state, step, summary, since)


def _finding(state: State, step: Step, summary: str, end: float) -> Finding:
    first, last, ticks = state["phase"]["first"], state["phase"]["last"], state["ticks"]
    factor = float(ticks) if ticks > 1 else (last - first + 1) / max(1.0, end - first + 1)
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="schedule_too_fast",
        code="schedule_too_fast",
        severity="warning",
        summary=summary,
        meaning="From then on nothing more is learned, whatever the run costs.",
        causes=[
            "`scheduler.step()` after each micro-batch in place of each update",
            "a schedule made for fewer updates than the run has",
        ],
        advice=[
            "call `scheduler.step()` once after each `optimizer.step()`",
            "give the schedule the number of updates, not of epochs or micro-batches",
        ],
        evidence={
            "onset": max(1, first),
            "ticks": ticks,
            "factor": factor,
            "ends_at": end,
            "total_steps": last,
            "learning_rate": step.learning_rate,
            "peak": state["peak"],
        },
    )

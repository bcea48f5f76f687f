"""The disk will be full before the run ends."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tunewell.inspections import Inspected
from tunewell.monitors._naming import size
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started


class DiskRunningOut(msgspec.Struct, frozen=True, kw_only=True):
    """Less is free on the disk than the run will still write: checkpoints, log and the final model.

    Both numbers are known, not estimated from the past, so that it is told when there is time to make room. What else
    writes to the disk meanwhile is seen at the next look.
    """

    reads: ClassVar[tuple[type, ...]] = (Started, Inspected)
    explains: ClassVar[tuple[str, ...]] = ("stall",)

    def init(self) -> State:
        """Return the state before any record."""
        return {"total": 0, "looks": 0, "free": 0, "needed": 0, "first_seen": None, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each look at the disk."""
        if isinstance(record, Started):
            return {**self.init(), "total": record.total_steps, "seen": state["seen"]}, []
        if not isinstance(record, Inspected) or record.disk_free is None or record.disk_needed is None:
            return state, []
        free, needed = record.disk_free, record.disk_needed
        state = {**state, "looks": state["looks"] + 1, "free": free, "needed": needed}
        if free >= needed:
            return {**state, "first_seen": None}, []
        state = {**state, "first_seen": state["first_seen"] or record.step}
        finding = _finding(record.step, state)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looks"] else "the disk was not looked at"
        return judged(
            state, blind=blind, fine=f"{size(state['free'])} are free, {size(state['needed'])} are needed"
        )


def _finding(step: int, state: State) -> Finding:
    free, needed, total = state["free"], state["needed"], state["total"]
    full = step + int((total - step) * free / needed) if total > step else None
    when = f", and the disk is full by about update {full}" if full is not None else ""
    return Finding(
        step=step,
        monitor="disk_running_out",
        code="disk_running_out",
        severity="warning",
        summary=f"Only {size(free)} are free, and the run will still write {size(needed)}{when}.",
        meaning="Checkpoints can't be written then, and the run waits until there is room.",
        causes=["checkpoints that are too many or too large", "something else that fills the disk"],
        advice=[
            "make room",
            "lower `save_total_limit`, raise `save_steps`",
            "set `output_dir` to another disk",
        ],
        evidence={"onset": state["first_seen"], "disk_free": free, "disk_needed": needed, "full_at": full},
    )

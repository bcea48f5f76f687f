"""Targets that were cut off, or are masked altogether."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record

_NOTHING = DataCheck(why_not="the rows were not looked at")


class TruncatedTargets(msgspec.Struct, frozen=True, kw_only=True):
    """Sequences that lose the end of their target, and rows in which no target counts at all.

    A model taught on answers that break off learns to break off, or never to stop; a row whose targets are all masked
    teaches nothing and costs as much as the others. What a length limit cuts is usually the few longest: choosing it at
    the 95th or 99th percentile of lengths is common practice, so up to 5 % are told as an info.
    """

    noticed: Annotated[float, Meta(gt=0, lt=1)] = 0.005
    """Share of rows from which they are told as an info."""
    harmful: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Share from which they are a fault."""

    reads: ClassVar[tuple[type, ...]] = (DataChecked,)
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {"blind": _NOTHING.why_not, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the rows once, before the first update."""
        if not isinstance(record, DataChecked):
            return state, []
        cut = record.checks.get("truncated_targets", _NOTHING)
        empty = record.checks.get("unsupervised", _NOTHING)
        state = {**state, "blind": "" if cut.of or empty.of else cut.why_not}
        shares = cut.count / max(1, cut.of), empty.count / max(1, empty.of)
        if max(shares) < self.noticed:
            return state, []
        finding = _finding(record, cut, empty, harmful=max(shares) >= self.harmful)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        return judged(state, blind=state["blind"], fine="targets are whole, and each row has some that count")


def _finding(record: DataChecked, cut: DataCheck, empty: DataCheck, *, harmful: bool) -> Finding:
    parts = []
    if cut.count:
        parts.append(f"of {cut.of:,} targets {cut.count:,} ({cut.count / cut.of:.0%}) lack their end")
    if empty.count:
        parts.append(
            f"of {empty.of:,} rows {empty.count:,} ({empty.count / empty.of:.0%}) have no target that counts"
        )
    told = " and ".join(parts) + "."
    step = max(1, record.step)
    return Finding(
        step=step,
        monitor="truncated_targets",
        code="truncated_targets",
        severity="warning" if harmful else "info",
        summary=told[0].upper() + told[1:],
        meaning="The model is taught to break off in the middle, and on the rows without a target it learns nothing.",
        causes=[
            "the length limit cuts the end, where the answer stands",
            "the mask (-100) covers more than the prompt",
            "the end-of-text token was left out",
        ],
        advice=[
            "raise `data.max_length`, or cut at the other end (`data.truncation`)",
            "leave out the rows named here",
        ],
        evidence={
            "lasting": True,
            "onset": step,
            "truncated": cut.count,
            "unsupervised": empty.count,
            "of": cut.of or empty.of,
        },
        rows=list(dict.fromkeys([*empty.rows, *cut.rows]))[:1000],
    )

"""One input, several targets."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataChecked
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record


class ConflictingLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Equal inputs that stand with different targets: whatever the model says, some of them count as wrong.

    They put a floor under loss and error, half their share for pairs. Human labels differ on 1 to 10 % of the rows of
    ten well-known test sets (Northcutt et al., 2021, arXiv:2103.14749: 3.3 % in the mean), of which repeated inputs are
    a small part; so 5 % of all rows is more than disagreement. Where few different inputs exist at all, one input
    rightly has several targets, and that is told as an info.
    """

    noticed: Annotated[float, Meta(gt=0, lt=1)] = 0.005
    """Share of rows from which they are told as an info."""
    harmful: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Share from which they are a fault."""

    reads: ClassVar[tuple[type, ...]] = (DataChecked,)
    explains: ClassVar[tuple[str, ...]] = ("label_noise",)

    def init(self) -> State:
        """Return the state before any record."""
        return {"blind": "the rows were not looked at", "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the rows once, before the first update."""
        if not isinstance(record, DataChecked) or "conflicts" not in record.checks:
            return state, []
        check = record.checks["conflicts"]
        state = {**state, "blind": check.why_not}
        share = check.count / max(1, check.of)
        if share < self.noticed or check.count < 3:
            return state, []
        by_chance = check.numbers.get("expected", 0.0) > 0.3 * check.count
        inputs = round(check.numbers.get("inputs", 0.0))
        step = max(1, record.step)
        finding = Finding(
            step=step,
            monitor="conflicting_labels",
            code="conflicting_labels",
            severity="warning" if share >= self.harmful and not by_chance else "info",
            summary=f"Of {check.of:,} training rows {check.count:,} ({share:.1%}) are {inputs:,} inputs that stand "
            "with different targets.",
            meaning="No model can be right on all of them; it learns to hesitate where people disagree.",
            causes=[
                "people labelled them differently, or one of the labels is a mistake",
                "what tells them apart is not among the inputs: a column left out, a text cut too short",
                "one row has several labels: `problem: multi_label`",
            ],
            advice=[
                f"decide on one target for each: {check.detail}"
                if check.detail
                else "decide on one target for each",
                "leave out the rows named here",
            ],
            evidence={
                "lasting": True,
                "onset": step,
                "share": round(share, 4),
                "inputs": inputs,
                "partners": check.partners,
            },
            rows=check.rows,
        )
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        return judged(state, blind=state["blind"], fine="equal inputs stand with equal targets")

"""Training rows that stand more than once."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataChecked
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record


class Duplicates(msgspec.Struct, frozen=True, kw_only=True):
    """Rows whose input stood before in the training split, exactly or nearly (80 % of its n-grams, by MinHash).

    Collected data holds some: Lee et al. (2022, arXiv:2107.06499) count 0.4 % near duplicates in Wiki-40B, 3 % in C4, 4.9 %
    in LM1B and 13.6 % in RealNews, the most among those that models are trained on; IMDb's reviews have 0.5 %. More
    than all of them is a fault of how the rows were gathered: a row that stands twice counts twice, and the number of
    rows says more than there is. Rows that are equal because few different inputs exist at all (short texts, some binary
    features) are not counted.
    """

    noticed: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    """Share of rows from which they are told as an info."""
    harmful: Annotated[float, Meta(gt=0, lt=1)] = 0.15
    """Share from which they are a fault."""

    reads: ClassVar[tuple[type, ...]] = (DataChecked,)
    explains: ClassVar[tuple[str, ...]] = ("overfitting", "conflicting_labels")

    def init(self) -> State:
        """Return the state before any record."""
        return {"blind": "the rows were not looked at", "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the rows once, before the first update."""
        if not isinstance(record, DataChecked) or "duplicates" not in record.checks:
            return state, []
        check = record.checks["duplicates"]
        state = {**state, "blind": check.why_not}
        unexplained = check.count - check.numbers.get("expected", 0.0)
        share = unexplained / max(1, check.of)
        if share < self.noticed or unexplained < 3:
            return state, []
        near = round(check.numbers.get("near", 0.0))
        alike = f", {near:,} of them nearly and not exactly" if near else ""
        step = max(1, record.step)
        finding = Finding(
            step=step,
            monitor="duplicates",
            code="duplicates",
            severity="warning" if share >= self.harmful else "info",
            summary=f"Of {check.of:,} training rows {check.count:,} ({check.count / check.of:.0%}) stood before{alike}.",
            meaning="Each counts as often as it stands: the model learns by heart what is repeated, and there are fewer "
            "rows to learn from than it seems.",
            causes=[
                "the same source was read twice, or files overlap",
                "rows were multiplied on purpose, as against unlike classes",
                "copies with small changes, such as boilerplate with another name",
            ],
            advice=[
                "set `data.drop_duplicates: true`, or leave out the rows named here",
                f"look at some: {check.detail}" if check.detail else "look at some of the rows named here",
            ],
            evidence={
                "lasting": True,
                "onset": step,
                "share": round(check.count / check.of, 4),
                "near": near,
                "expected": check.numbers.get("expected", 0.0),
                "partners": check.partners,
            },
            rows=check.rows,
        )
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        return judged(
            state, blind=state["blind"], fine=f"under {self.noticed:.0%} of the training rows stood before"
        )

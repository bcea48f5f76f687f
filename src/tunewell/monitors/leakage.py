"""Rows of the validation or test split that stand in the training split too."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record


class Leakage(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out rows that are trained on, exactly or nearly (80 % of their n-grams, by MinHash).

    A score on them measures memory. Well-kept sets have some: 0.5 % of IMDb's test reviews stand in its training split;
    CIFAR-10's 3.3 % and CIFAR-100's 10 % (Barz and Denzler, 2020) were reason enough to publish cleaned ones. From 1 %
    on the error rate of a good model, a few percent itself, is visibly too low. Rows that are equal because few
    different inputs exist at all are not counted: then as many are expected by chance.
    """

    harmful: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    """Share of a split's rows from which its scores can't be believed; less is told as an info."""
    fewest: Annotated[int, Meta(ge=1)] = 3
    """Rows below which it is an info too."""

    reads: ClassVar[tuple[type, ...]] = (DataChecked,)
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {"blind": "the rows were not looked at", "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the splits once, before the first update."""
        if not isinstance(record, DataChecked) or "leakage" not in record.checks:
            return state, []
        check = record.checks["leakage"]
        state = {**state, "blind": check.why_not}
        by_chance = check.numbers.get("expected", 0.0)
        if not check.count or by_chance > 0.3 * check.count:
            return state, []
        finding = self._finding(record, check)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        return judged(
            state, blind=state["blind"], fine="no training row stands in the validation or test split"
        )

    def _finding(self, record: DataChecked, check: DataCheck) -> Finding:
        known = {
            split: (round(check.numbers[f"{split}_known"]), round(check.numbers[f"{split}_rows"]))
            for split in ("validation", "test")
            if check.numbers.get(f"{split}_known")
        }
        shares = {split: found / rows for split, (found, rows) in known.items()}
        told = " and ".join(
            f"of {rows:,} {split} rows {found:,} ({found / rows:.1%})"
            for split, (found, rows) in known.items()
        )
        harmful = any(
            shares[split] >= self.harmful and found >= self.fewest for split, (found, _) in known.items()
        )
        near = round(check.numbers.get("near", 0.0))
        step = max(1, record.step)
        return Finding(
            step=step,
            monitor="leakage",
            code="leakage",
            severity="warning" if harmful else "info",
            summary=f"{told[0].upper()}{told[1:]} stand among the training rows"
            + (f"; {near:,} training rows equal them nearly and not exactly." if near else "."),
            meaning="What is trained on is known: scores on these rows measure memory, and promise too much.",
            causes=[
                "rows were copied or augmented before they were split",
                "files of the splits overlap",
                "several rows of one source (a person, a document) stand in both: they need `data.group_by`",
            ],
            advice=[
                "set `data.leakage: drop`, which leaves these rows out of training",
                f"look at some: {check.detail}" if check.detail else "look at the rows named here",
            ],
            evidence={
                "lasting": True,
                "onset": step,
                "shares": shares,
                "near": near,
                "partners": check.partners,
            },
            rows=check.rows,
        )

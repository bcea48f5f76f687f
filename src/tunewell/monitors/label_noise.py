"""Targets that are wrong."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataCheck, DataChecked, RowsReviewed, Suspect
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started


class LabelNoise(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that the model contradicts as it contradicts wrong targets, in numbers that chance and difficulty don't give.

    Well-known test sets have 3.3 % wrong labels in the mean, the worst of ten 10 % (Northcutt et al., 2021,
    arXiv:2103.14749). Models that are too simple for a task look like a few percent of wrong targets too: 5 % on
    small clean pictures of ten kinds. Below 8 % they are told as an info: worth a look, and no reason to stop. From
    there on they cost accuracy as soon as the model has the time to learn them by heart. Of the rows that are named,
    those that are right by the probabilities given with them don't count. A language model's targets stand in its
    inputs: rows in which they don't, where most rows' do, are told before the first update. More rows are named as the
    model learns; that is told as an info when they are clearly more.
    """

    harmful: Annotated[float, Meta(gt=0, lt=1)] = 0.08
    """Share of rows with a wrong target that is a fault."""
    noticed: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    """Share that is told as an info."""
    more: Annotated[float, Meta(gt=1)] = 1.25
    """Rows named, beside those that were named before, from which the new list is told."""

    reads: ClassVar[tuple[type, ...]] = (Started, DataChecked, RowsReviewed)
    explains: ClassVar[tuple[str, ...]] = ("overfitting", "plateau", "underfitting")

    def init(self) -> State:
        """Return the state before any record."""
        return {"reviewed": 0, "estimated": False, "severity": "", "named": 0, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each review of the rows; told again only if it gets worse, or clearly more of them are named."""
        if isinstance(record, Started):
            return {**self.init(), "seen": state["seen"]}, []
        reviewed = _of_tokens(record) if isinstance(record, DataChecked) else record
        if not isinstance(reviewed, RowsReviewed):
            return state, []
        return self._reviewed(state, reviewed)

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["reviewed"] else "no history of single rows was reviewed"
        if state["reviewed"] and not state["estimated"]:
            blind = "no model of the rows was good enough to contradict a target"
        return judged(state, blind=blind, fine="no more targets are contradicted than hard rows explain")

    def _reviewed(self, state: State, record: RowsReviewed) -> tuple[State, list[Finding]]:
        state = {**state, "reviewed": record.rows, "estimated": record.estimate is not None}
        surplus = len(record.suspects) - record.expected
        share = record.estimate or 0.0
        if share < self.noticed or surplus < max(5.0, 0.2 * share * record.rows):
            return state, []
        severity = "warning" if share >= self.harmful else "info"
        named = len(record.suspects)
        if state["severity"] in ("warning", severity):
            if named < self.more * state["named"]:
                return state, []
            severity = "info"
        finding = _finding(record, severity)
        worst = "warning" if "warning" in (severity, state["severity"]) else "info"
        return {**state, "severity": worst, "named": named, "seen": finding.summary}, [finding]


def _of_tokens(record: DataChecked) -> RowsReviewed | None:
    """Return a review that names the rows whose targets are not their own tokens; None: there are none."""
    check = record.checks.get("alignment", DataCheck())
    if not check.count:
        return None
    return RowsReviewed(
        time=record.time,
        step=record.step,
        epoch=0,
        rows=check.of,
        suspects=[Suspect(row=row, confidence=1.0) for row in check.rows],
        expected=0.0,
        estimate=check.count / check.of,
    )


def _finding(record: RowsReviewed, severity: str) -> Finding:
    worst = record.suspects[0]
    example = f"surest: row {worst.row:,}" + (f", `{worst.given}`" if worst.given else "")
    example += f", rather `{worst.suggested}`" if worst.suggested else ""
    if record.epoch == 0:
        example = f"their targets are not the tokens of their own inputs, such as row {worst.row:,}'s"
    listed = f" All of them stand in {record.file}." if record.file else ""
    step = max(1, record.step)
    return Finding(
        step=step,
        monitor="label_noise",
        code="label_noise",
        severity="warning" if severity == "warning" else "info",
        summary=f"About {record.estimate or 0:.0%} of {record.rows:,} training rows seem to have a wrong target; "
        f"{len(record.suspects):,} are named ({example}).{listed}",
        meaning="What is wrong can only be learned by heart, and then costs accuracy on new rows.",
        causes=[
            "mistakes or guesses of those who labelled, or of a program that did",
            "two classes that are hard to tell apart, or defined differently by different people",
            "targets that were mixed up in a part of the rows",
        ],
        advice=[
            "look through the named rows, surest first; correct or exclude them",
            "stop early, or set `label_smoothing`: wrong targets are learned last",
        ],
        evidence={
            "lasting": True,
            "onset": 1,
            "estimate": record.estimate,
            "expected": record.expected,
            "epoch": record.epoch,
            "suspects": [
                {"row": one.row, "given": one.given, "suggested": one.suggested, "confidence": one.confidence}
                for one in record.suspects[:20]
            ],
        },
        rows=[one.row for one in record.suspects],
    )

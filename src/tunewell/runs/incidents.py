"""Findings that belong together, what was done about them, and whether it helped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from tunewell.records import (
    Acted,
    Answered,
    Effect,
    Finding,
    Proposed,
    Record,
    Severity,
    Step,
)
from tunewell.runs.aftermath import aftermath
from tunewell.runs.wording import describe, intended

T = TypeVar("T")

_WORST = {"info": 0, "warning": 1, "critical": 2}
_OWN = {"incident", "cause", "codes", "tied"}
"""Evidence that says where a finding belongs, which a story shows by itself."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """Something done (or refused, failed, proposed) at `step`: `what` in words, `by` whom and why."""

    step: int
    what: str
    by: str
    reason: str
    outcome: str
    """applied, refused, failed, dry_run, proposed, approved or declined."""
    detail: str = ""
    effect: str = ""
    """What came of it, in a sentence with numbers; empty: it was not measured."""
    helped: bool | None = None


class BlamedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that the trouble came from."""

    row: int
    step: int | None = None
    """Update in which it stood out most; None: in none that was logged."""
    loss: float | None = None
    share: float | None = None
    """Its share of that update's loss, 0 to 1; None: the loss was not finite, or not known."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One fault from its first sign to what became of it."""

    code: str
    """Kind of fault at the root of it, as far as is known."""
    codes: list[str]
    """All kinds in it: the cause, then its symptoms in order of appearance."""
    severity: Severity
    onset: int
    """Step at which it began."""
    first_step: int
    """Step at which it was first told."""
    last_step: int
    times: int
    """How many findings it holds."""
    seen: list[str]
    """What was seen, one sentence a kind, in the order of `codes`."""
    meaning: str
    evidence: dict[str, Any]
    causes: list[str]
    advice: list[str]
    rows: list[int]
    """Row ids to blame."""
    blamed: list[BlamedRow] = []
    """What is known of the first of them."""
    deeds: list[Deed]
    loss_before: float | None = None
    """What it was measured by before (training loss, validation loss, or an effect's own measure)."""
    loss_after: float | None = None
    recovered: bool | None = None
    """Whether what was done helped, or the loss came back by itself; None: it can't be told."""
    aftermath: str = ""
    """The same in a sentence."""


@dataclass
class _Open:
    """An incident while it is being gathered: its findings, deeds and effects, and places in the log."""

    findings: list[Finding]
    first_place: int
    last_place: int
    deeds: list[Deed] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        return _distinct(finding.code for finding in self.findings)


def incidents(log: Sequence[Record]) -> tuple[list[Incident], list[Deed]]:
    """Return the incidents of a whole log (rewound steps included) in order, and deeds that answer none of them.

    What belongs together is what the findings' own evidence says (`monitors.Watch`). Findings of severity ``info`` are
    no incidents.
    """
    opened: dict[str, _Open] = {}
    others: list[Deed] = []
    asked: dict[int, Proposed] = {}
    for place, record in enumerate(log):
        match record:
            case Finding() if record.severity != "info":
                _join(opened, record, place)
            case Effect():
                _tell_effect(opened, record)
            case Proposed() | Answered() | Acted():
                if isinstance(record, Proposed):
                    asked[record.id] = record
                code, deed = _deed(record, asked)
                found = _of_code(opened, code)
                (others if found is None else found.deeds).append(deed)
                if found is not None and isinstance(record, Acted):
                    found.last_place = place
    every = list(opened.values())
    ends = [each.first_place for each in every] + [len(log)]  # an incident ends where the next begins
    return [_closed(each, log, end) for each, end in zip(every, ends[1:], strict=True)], others


def _join(opened: dict[str, _Open], finding: Finding, place: int) -> None:
    name = finding.evidence.get("incident") or f"{finding.code}@{finding.step}"
    tied = [opened.pop(other) for other in finding.evidence.get("tied", ()) if other in opened]
    found = opened.get(name)
    if found is None:
        found = opened[name] = _Open([], place, place)
    for other in tied:  # a cause that was found later ties together what had seemed to be several faults
        found.findings += other.findings
        found.deeds = sorted([*found.deeds, *other.deeds], key=lambda deed: deed.step)
        found.effects += other.effects
        found.first_place = min(found.first_place, other.first_place)
    found.findings.append(finding)
    found.last_place = place


def _of_code(opened: dict[str, _Open], code: str) -> _Open | None:
    """Return the newest incident that a fault of this kind belongs to."""
    if not code:
        return None
    return next((each for each in reversed(opened.values()) if code in each.codes), None)


def _deed(record: Proposed | Answered | Acted, asked: dict[int, Proposed]) -> tuple[str, Deed]:
    """Return the kind of fault that something done or said is about, and it in words."""
    if isinstance(record, Proposed):
        what = "asked whether to " + _together(record)
        return record.code, Deed(
            step=record.step, what=what, by=record.by, reason=record.reason, outcome="proposed",
            detail=f"proposal {record.id}",
        )  # fmt: skip
    if isinstance(record, Answered):
        proposal = asked.get(record.id)
        verb = "agreed" if record.approved else "declined"
        what = f"{verb} to {_together(proposal)}" if proposal else f"{verb} (proposal {record.id})"
        outcome = "approved" if record.approved else "declined"
        return proposal.code if proposal else "", Deed(
            step=record.step, what=what, by=record.by, reason="", outcome=outcome
        )
    applied = record.outcome == "applied"
    what = describe(record.action) if applied else f"wanted to {intended(record.action)}"
    return record.code, Deed(
        step=record.step,
        what=what,
        by=record.by,
        reason=record.reason,
        outcome=record.outcome,
        detail=record.detail,
    )


def _together(proposal: Proposed) -> str:
    return " and to ".join(intended(action) for action in [proposal.action, *proposal.also])


def _tell_effect(opened: dict[str, _Open], effect: Effect) -> None:
    """Say of the deed that `effect` is of what came of it."""
    what = describe(effect.action)
    for each in opened.values():
        for place, deed in enumerate(each.deeds):
            if (deed.step, deed.what, deed.outcome, deed.effect) == (effect.acted_step, what, "applied", ""):
                each.deeds[place] = msgspec.structs.replace(deed, effect=effect.text, helped=effect.helped)
                each.effects.append(effect)
                return


def _closed(opened: _Open, log: Sequence[Record], end: int) -> Incident:
    findings = opened.findings
    worst = max(findings, key=lambda finding: _WORST[finding.severity])
    told = {finding.code: finding.summary for finding in reversed(findings)}
    root = next((f.evidence["cause"] for f in reversed(findings) if "cause" in f.evidence), worst.code)
    root = root if root in told else worst.code
    codes = [root, *(code for code in opened.codes if code != root)]
    first = next(finding for finding in findings if finding.code == root)
    ordered = [first, *(finding for finding in findings if finding is not first)]
    of_root = [
        finding for finding in findings if finding.code == root
    ]  # a consequence's causes would mislead
    evidence = next((f.evidence for f in ordered if set(f.evidence) - _OWN - {"onset"}), first.evidence)
    rows = _distinct(row for finding in ordered for row in finding.rows)
    after = aftermath(root, opened.effects, log, opened.first_place, opened.last_place, end)
    return Incident(
        code=root,
        codes=codes,
        severity=worst.severity,
        onset=min(int(f.evidence.get("onset") or f.step) for f in findings),
        first_step=min(finding.step for finding in findings),
        last_step=max(finding.step for finding in findings),
        times=len(findings),
        seen=[told[code] for code in codes],
        meaning=first.meaning,
        evidence={key: value for key, value in evidence.items() if key not in _OWN},
        causes=_distinct(cause for finding in of_root for cause in finding.causes),
        advice=_distinct(advice for finding in of_root for advice in finding.advice),
        rows=rows,
        blamed=_blamed(rows, log[: opened.last_place + 1]),
        deeds=opened.deeds,
        loss_before=after.before,
        loss_after=after.after,
        recovered=after.recovered,
        aftermath=after.text,
    )


def _blamed(rows: Sequence[int], log: Sequence[Record], most: int = 10) -> list[BlamedRow]:
    """Return for each of the first rows the update in which it stood out most."""
    wanted = set(rows[:most])
    best: dict[int, BlamedRow] = {}
    for record in log:
        if not isinstance(record, Step) or not record.worst_rows:
            continue
        for row, loss in record.worst_rows:
            if row not in wanted:
                continue
            total = record.loss * record.rows
            known = math.isfinite(loss) and math.isfinite(total) and total > 0
            share = min(1.0, loss / total) if known else None
            before = best.get(row)
            if before is None or (before.share is not None and (share is None or share > before.share)):
                best[row] = BlamedRow(row=row, step=record.step, loss=loss, share=share)
    return [best.get(row, BlamedRow(row=row)) for row in rows[:most]]


def _distinct(items: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(items))

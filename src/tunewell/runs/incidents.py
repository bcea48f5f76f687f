"""Findings that belong together, what was done about them, and whether training recovered."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tunewell.actions import (
    Action,
    EvaluateNow,
    ExcludeRows,
    Rollback,
    SaveNow,
    ScaleLearningRate,
    SetLearningRate,
    SetMaxGradNorm,
    SetMicroBatchTokens,
    Stop,
)
from tunewell.records import Acted, Eval, Finding, Record, Rewound, Severity, Step

_UNSTABLE = {
    "non_finite",
    "loss_spike",
    "gradient_spike",
    "exploding_gradient",
    "divergence",
    "learning_rate_too_high",
}
"""Faults that lead to one another within some steps: one incident."""
_GENERALISATION = {"plateau", "overfitting", "underfitting", "overtraining"}
"""Faults whose repair shows in the evaluations, not in the training loss."""
_NEAR = 50  # steps within which unstable findings, and an action, belong to the incident before
_WINDOW = 20  # steps whose median stands for the loss at a moment
_FEW = 5  # with fewer steps than this afterwards nothing can be said
_WORST = {"info": 0, "warning": 1, "critical": 2}


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """Something done (or refused, or failed) at `step`: `what` in words, `by` whom and why."""

    step: int
    what: str
    by: str
    reason: str
    outcome: str
    detail: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One fault from its first sign to what became of it."""

    code: str
    """Kind of fault of the most severe finding."""
    codes: list[str]
    """All kinds in it, in order of appearance."""
    severity: Severity
    first_step: int
    last_step: int
    times: int
    """How many findings it holds."""
    seen: list[str]
    """What was seen, one sentence a kind, in order of appearance."""
    meaning: str
    evidence: dict[str, Any]
    causes: list[str]
    advice: list[str]
    rows: list[int]
    """Row ids to blame."""
    deeds: list[Deed]
    loss_before: float | None = None
    """Usual training loss before it (or lowest validation loss, for faults of generalisation)."""
    loss_after: float | None = None
    """The same afterwards, up to the next incident."""
    recovered: bool | None = None
    """Whether the loss came back to what it was; None: too little followed, or the loss can't tell."""
    aftermath: str = ""
    """The same in a sentence."""


@dataclass
class _Open:
    """An incident while it is being gathered: places in the log, and counts of steps seen until then."""

    findings: list[Finding]
    first_place: int
    last_place: int
    steps_seen: int
    deeds: list[Deed] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        return list(dict.fromkeys(finding.code for finding in self.findings))


def incidents(log: Sequence[Record]) -> tuple[list[Incident], list[Deed]]:
    """Return the incidents of a whole log (rewound steps included) in order, and deeds that answer none of them.

    Findings of severity ``info`` are no incidents.
    """
    opened: list[_Open] = []
    others: list[Deed] = []
    steps_seen = 0
    for place, record in enumerate(log):
        if isinstance(record, Step):
            steps_seen += 1
        elif isinstance(record, Finding) and record.severity != "info":
            joined = _joined(opened, record, steps_seen)
            if joined is None:
                opened.append(_Open([record], place, place, steps_seen))
            else:
                joined.findings.append(record)
                joined.last_place, joined.steps_seen = place, steps_seen
        elif isinstance(record, Acted):
            deed = Deed(
                step=record.step,
                what=describe(record.action),
                by=record.by,
                reason=record.reason,
                outcome=record.outcome,
                detail=record.detail,
            )
            answered = _answered(opened, record, steps_seen)
            if answered is None:
                others.append(deed)
            else:
                answered.deeds.append(deed)
                answered.last_place = place
    ends = [each.first_place for each in opened] + [len(log)]  # an incident ends where the next begins
    return [_closed(each, log, end) for each, end in zip(opened, ends[1:], strict=True)], others


def describe(action: Action) -> str:
    """Return what `action` does, in the past tense: ``rolled back to before step 310``."""
    match action:
        case ScaleLearningRate(factor=factor):
            return f"multiplied the learning rate by {factor:.4g}"
        case SetLearningRate(value=value):
            return f"set the learning rate to {value:.4g}"
        case SetMaxGradNorm(value=value):
            return f"clipped gradients at norm {value:.4g} from then on"
        case Rollback(before=before, learning_rate_factor=factor):
            also = "" if factor == 1 else f" and multiplied the learning rate by {factor:.4g}"
            return f"rolled back to the last healthy checkpoint before step {before:,}{also}"
        case ExcludeRows(rows=rows):
            return f"excluded {len(rows):,} row{'' if len(rows) == 1 else 's'} from training"
        case SetMicroBatchTokens(value=value):
            return f"sent at most {value:,} tokens through the model at once"
        case EvaluateNow():
            return "evaluated"
        case SaveNow():
            return "saved a checkpoint"
        case Stop(success=success):
            return "stopped early: nothing more to gain" if success else "gave the run up"
        case _:
            return type(action).__name__


def _joined(opened: list[_Open], finding: Finding, steps_seen: int) -> _Open | None:
    for each in reversed(opened):
        near = steps_seen - each.steps_seen <= _NEAR
        if finding.code in _UNSTABLE:
            if near and _UNSTABLE.intersection(each.codes):
                return each
        elif finding.code in each.codes:
            return each
    return None


def _answered(opened: list[_Open], acted: Acted, steps_seen: int) -> _Open | None:
    near = [each for each in opened if steps_seen - each.steps_seen <= _NEAR]
    if acted.by == "recipe":  # early stopping answers these, routine answers nothing
        near = [each for each in near if _GENERALISATION.intersection(each.codes)]
    reason = acted.reason.lower().replace(" ", "_").replace("-", "_")
    named = [each for each in near if any(code in reason for code in each.codes)]
    candidates = named or near
    return candidates[-1] if candidates else None


def _closed(opened: _Open, log: Sequence[Record], end: int) -> Incident:
    findings = opened.findings
    worst = max(findings, key=lambda finding: _WORST[finding.severity])  # the first of the worst
    told = {finding.code: finding.summary for finding in reversed(findings)}
    before, after, recovered, aftermath = _aftermath(
        opened, log, end, generalisation=worst.code in _GENERALISATION
    )
    return Incident(
        code=worst.code,
        codes=opened.codes,
        severity=worst.severity,
        first_step=findings[0].step,
        last_step=max(finding.step for finding in findings),
        times=len(findings),
        seen=[told[code] for code in opened.codes],
        meaning=worst.meaning,
        evidence=worst.evidence or next((finding.evidence for finding in findings if finding.evidence), {}),
        causes=_distinct(cause for finding in [worst, *findings] for cause in finding.causes),
        advice=_distinct(advice for finding in [worst, *findings] for advice in finding.advice),
        rows=_distinct(row for finding in [worst, *findings] for row in finding.rows),
        deeds=opened.deeds,
        loss_before=before,
        loss_after=after,
        recovered=recovered,
        aftermath=aftermath,
    )


_Told = tuple[float | None, float | None, bool | None, str]


def _aftermath(opened: _Open, log: Sequence[Record], end: int, *, generalisation: bool) -> _Told:
    if generalisation:
        return _evaluations_after(log[: opened.first_place], log[opened.last_place :])
    if not _UNSTABLE.intersection(opened.codes):
        return None, None, None, ""
    to_step = min(
        (record.to_step for record in log[opened.first_place : end] if isinstance(record, Rewound)),
        default=None,
    )
    earlier = [
        step.loss for step in _measured(log[: opened.first_place]) if to_step is None or step.step <= to_step
    ]
    later = [step.loss for step in _measured(log[opened.last_place : end])]
    if not earlier:
        return None, None, None, "Nothing sound was measured before it to compare with."
    blocks = [
        earlier[i : i + _WINDOW] for i in range(max(0, len(earlier) - 3 * _WINDOW), len(earlier), _WINDOW)
    ]
    usual = min((block for block in blocks if len(block) >= _FEW), key=statistics.median, default=earlier)
    before = statistics.median(usual)
    if len(later) < _FEW:
        return (
            before,
            None,
            None,
            f"Too few steps followed to tell whether it recovered (loss before: {before:.4g}).",
        )
    after = statistics.median(later[-_WINDOW:])
    spread = 1.4826 * statistics.median(abs(loss - before) for loss in usual)
    recovered = after <= before + max(0.1 * abs(before), 2 * spread)
    verdict = "Training recovered" if recovered else "Training did not recover"
    return (
        before,
        after,
        recovered,
        f"{verdict}: the loss was {before:.4g} before and {after:.4g} afterwards.",
    )


def _evaluations_after(before: Sequence[Record], after: Sequence[Record]) -> _Told:
    earlier, later = (
        [r for r in part if isinstance(r, Eval) and r.split == "validation"] for part in (before, after)
    )
    best = min(earlier, key=lambda record: record.loss, default=None)
    if best is None or not later:
        return best.loss if best else None, None, None, "No evaluation followed."
    lowest = min(record.loss for record in later)
    improved = lowest < 0.98 * best.loss  # less is the noise of an evaluation
    came = "fell further afterwards" if improved else "did not come below that again"
    text = (
        f"The validation loss had been {best.loss:.4g} at best (step {best.step:,}); it {came}: {lowest:.4g}."
    )
    return best.loss, lowest, improved, text


def _measured(part: Sequence[Record]) -> list[Step]:
    return [r for r in part if isinstance(r, Step) and not r.skipped and math.isfinite(r.loss)]


def _distinct(items: Any) -> list[Any]:
    return list(dict.fromkeys(items))

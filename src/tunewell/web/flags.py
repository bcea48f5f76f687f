"""What stands as a flag on every chart: findings, actions, requests, stages, rewinds, checkpoints, the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunewell.records import Acted, Committed, Ended, Finding, Record, Requested, Rewound, StageBegan
from tunewell.runs.incidents import Incident
from tunewell.runs.wording import describe, intended

_MOST = 2_000
_LEVELS = {"info": "good", "warning": "attention", "critical": "bad"}
Flag = dict[str, Any]


def incident_ids(found: Sequence[Incident]) -> list[str]:
    """Return a name for each incident that stays while it grows."""
    taken: dict[str, int] = {}
    ids = []
    for one in found:
        name = f"step-{one.first_step}"
        taken[name] = taken.get(name, 0) + 1
        ids.append(name if taken[name] == 1 else f"{name}-{taken[name]}")
    return ids


def flags(records: Sequence[Record], found: Sequence[Incident], ids: Sequence[str]) -> list[Flag]:
    """Return the flags of a log in order; rewound ones stay, checkpoints go first where there are too many."""
    made = [flag for record in records if (flag := _flag(record, found, ids)) is not None]
    if len(made) > _MOST:
        made = [flag for flag in made if flag["kind"] != "commit"]
    return made[-_MOST:]


def _flag(record: Record, found: Sequence[Incident], ids: Sequence[str]) -> Flag | None:
    match record:
        case Finding():
            name = _incident_of(record, found, ids)
            return _made(
                record, "finding", _LEVELS[record.severity], record.summary, record.monitor, incident=name
            )
        case Acted(outcome="applied"):
            kind = "request" if record.request else "action"
            text = record.detail or describe(record.action)
            return _made(record, kind, "off", text, record.by, id=record.request or None)
        case Acted():
            kind = "request" if record.request else "action"
            text = f"{record.outcome.replace('_', ' ')}: {intended(record.action)} ({record.detail})"
            return _made(record, kind, "off", text, record.by, id=record.request or None)
        case Requested():
            return _made(
                record, "request", "off", f"accepted: {intended(record.action)}", record.by, id=record.id
            )
        case StageBegan():
            return _made(record, "stage", "off", f"stage {record.stage + 1}: {record.name}")
        case Rewound():
            why = "resumed" if record.reason == "resume" else "rolled back"
            made = _made(record, "rewind", "off", f"{why} at step {record.to_step:,}{_inexact(record)}")
            return {**made, "step": record.to_step, "from": record.step}
        case Committed():
            return _made(
                record, "commit", "off", f"checkpoint {record.folder} ({record.reason})", commit=record.commit
            )
        case Ended():
            return _made(record, "end", "off", f"{record.status}: {record.reason}")
    return None


def _made(record: Any, kind: str, level: str, text: str, by: str = "", **more: Any) -> Flag:
    made = {"step": record.step, "time": record.time, "kind": kind, "level": level, "text": text, "by": by}
    return {**made, "incident": None, "id": more.get("incident"), **more}


def _inexact(record: Rewound) -> str:
    return "" if record.exact else f", approximately: {record.detail}"


def _incident_of(finding: Finding, found: Sequence[Incident], ids: Sequence[str]) -> str | None:
    for one, name in zip(found, ids, strict=True):
        if finding.code in one.codes and one.first_step <= finding.step <= one.last_step:
            return name
    return None

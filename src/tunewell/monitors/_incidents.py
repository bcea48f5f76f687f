"""One story for one fault: an incident is a fault with its consequences, told once and again only when it is news."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tunewell.monitors._protocol import State
from tunewell.records import Finding

QUIET_UPDATES = 50
"""An incident is over when nothing of it was seen for this many updates."""
_RANK = {"info": 0, "warning": 1, "critical": 2}

Explains = Mapping[str, frozenset[str]]
"""By code, the codes of the faults that it brings about."""


def aged(incidents: list[State]) -> list[State]:
    """Return the incidents that are still open one update later."""
    older = [incident | {"quiet": incident["quiet"] + 1} for incident in incidents]
    return [incident for incident in older if incident["quiet"] <= QUIET_UPDATES]


def told(incidents: list[State], finding: Finding, explains: Explains) -> tuple[list[State], Finding | None]:
    """Return the incidents with `finding` in them, and the finding to pass on: None if it tells nothing new."""
    for place, incident in enumerate(incidents):
        if not _related(incident, finding.code, explains):
            continue
        joined = _joined(incident, finding)
        others = [*incidents[:place], joined, *incidents[place + 1 :]]
        if not _is_news(incident, finding, explains):
            return others, None
        evidence = finding.evidence | {"onset": joined["onset"]}
        if finding.code != incident["codes"][0]:
            evidence["incident"] = incident["id"]
        return others, msgspec.structs.replace(finding, evidence=evidence)
    began = {
        "id": f"{finding.code}@{finding.step}",
        "codes": [finding.code],
        "severity": finding.severity,
        "onset": finding.evidence.get("onset", finding.step),
        "quiet": 0,
    }
    return [*incidents, began], finding


def _related(incident: State, code: str, explains: Explains) -> bool:
    return (
        code in incident["codes"]
        or _is_effect(incident, code, explains)
        or _is_cause(incident, code, explains)
    )


def _is_effect(incident: State, code: str, explains: Explains) -> bool:
    return any(code in explains.get(one, ()) for one in incident["codes"])


def _is_cause(incident: State, code: str, explains: Explains) -> bool:
    """Whether `code` names a cause of the incident that nothing of it brings about in turn."""
    is_cause = any(one in explains.get(code, ()) for one in incident["codes"])
    return is_cause and not _is_effect(incident, code, explains)


def _is_news(incident: State, finding: Finding, explains: Explains) -> bool:
    if _RANK[finding.severity] > _RANK[incident["severity"]]:
        return True
    if finding.code in incident["codes"]:
        comes_again = bool(finding.evidence.get("again"))
        return comes_again or bool(finding.severity == incident["severity"] == "info")
    return _is_cause(incident, finding.code, explains)


def _joined(incident: State, finding: Finding) -> State:
    codes = incident["codes"]
    worse = _RANK[finding.severity] > _RANK[incident["severity"]]
    return incident | {
        "codes": codes if finding.code in codes else [*codes, finding.code],
        "severity": finding.severity if worse else incident["severity"],
        "onset": min(incident["onset"], finding.evidence.get("onset", finding.step)),
        "quiet": 0,
    }

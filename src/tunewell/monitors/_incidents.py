"""One story for one fault: an incident is a fault with its consequences, told once and again only when it is news."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from tunewell.monitors._protocol import State
from tunewell.records import Effect, Finding, Severity

QUIET_UPDATES = 50
"""An incident is over when nothing of it was seen for this many updates."""
QUIET_LOOKS = 2.5
"""The same in sampled looks at the layers, where those are further apart: what only they can see is not over before two
of them were clean."""
SETTLING_UPDATES = 10
"""The same once an action was measured to have helped: a second fault of the kind is news then."""
MOST_DOUBLINGS = 3
"""Each time a kind of fault comes back by itself it must have stayed away twice as long to be told anew; up to 2³ times."""
INFO_UPDATES = 20
"""Updates within which an info of one kind is told once. Those of evaluations come seldom enough, and the recipe's own
early stopping waits for them."""
_RANK = {"info": 0, "warning": 1, "critical": 2}

_NOTHING = frozenset[str]()

Explains = Mapping[str, frozenset[str]]
"""By code, the codes of the faults that it brings about."""


class Incident(NamedTuple):
    """A fault with its consequences, as far as it is known."""

    id: str
    """Code and step of its first finding, such as ``loss_spike@310``."""
    cause: str
    """The code at its root: none of its other codes brings it about."""
    codes: list[str]
    """All its codes, in order of appearance."""
    severity: Severity
    """That of its worst finding."""
    onset: int
    """Step at which it began."""


class Incidents:
    """The incidents of a run: what belongs together, and which findings tell something new.

    While an incident is open, a finding of it is told only if it is more severe than all before, if it names a cause
    of what was seen, or if it says itself that it is news (``evidence["again"]``). One that is told once and stays until
    something is done about it, such as wrong rows, says so too (``evidence["lasting"]``): of such an incident a consequence
    of a new kind that comes later is told as well, since it is the harm that was only foretold. An info belongs to no
    incident and silences nothing.
    """

    def __init__(self, explains: Explains) -> None:
        self._explains = explains
        self._known: dict[str, Incident] = {}
        self.clear()

    def clear(self) -> None:
        """Forget what is open, as at a new beginning; what was told stays known."""
        self._open: list[State] = []
        self._times: dict[str, int] = {}
        self._infos: dict[str, int] = {}

    def close(self) -> None:
        """Close what is open."""
        self._open = []

    def pack(self) -> State:
        """Return everything as JSON values."""
        known = [one._asdict() for one in self._known.values()]
        return {"open": self._open, "times": self._times, "infos": self._infos, "known": known}

    def unpack(self, packed: State) -> None:
        """Stand where `pack` stood; what was told since stays known."""
        self._open, self._times, self._infos = packed["open"], packed["times"], packed["infos"]
        self._known = {one["id"]: Incident(**one) for one in packed["known"]} | self._known

    @property
    def open(self) -> str | None:
        """Id of an open incident that may pass."""
        return next((one["id"] for one in self._open if not one["lasts"]), None)

    @property
    def known(self) -> list[Incident]:
        """All incidents so far, in order; those that are over or were undone by a rollback too."""
        return list(self._known.values())

    def age(self, pace: int) -> None:
        """Let one update pass; the layers are looked at every `pace` updates."""
        if not self._open:
            return
        older = [one | {"quiet": one["quiet"] + 1} for one in self._open]
        self._open = [one for one in older if not self._is_over(one, pace)]

    def settle(self, effect: Effect) -> None:
        """Let an action's measured effect bear on the incidents of its kind.

        What helped lets them close soon. What did not has the next finding told again, for the next remedy.
        """
        if effect.helped is not None:
            change = {"settled": effect.step} if effect.helped else {"retell": True}
            self._open = [one | change if effect.code in one["codes"] else one for one in self._open]

    def tell(self, finding: Finding) -> Finding | None:
        """Return `finding` with its place in the story, or None if it tells nothing new."""
        onset = finding.evidence.get("onset", finding.step)
        self._open = [one for one in self._open if onset <= one.get("settled", onset)]
        related = [one for one in self._open if self._is_related(one, finding.code)]
        if finding.severity == "info":
            return self._told_info(finding, is_known=bool(related))
        caused = [one for one in related if self._is_cause(one, finding.code)]
        merged = caused or related[:1]  # a cause ties together what had seemed to be several faults
        incident = _joined(merged, finding) if merged else self._begun(finding)
        self._open = [one if one not in merged else incident for one in self._open if one not in merged[1:]]
        self._open += [] if merged else [incident]
        for one in merged[1:]:
            self._known.pop(one["id"], None)
        told = Incident(
            id=incident["id"],
            cause=self._root(incident["codes"]),
            codes=incident["codes"],
            severity=incident["severity"],
            onset=incident["onset"],
        )
        self._known[told.id] = told
        is_new_cause = any(finding.code not in one["codes"] for one in caused)
        if merged and not is_new_cause and not _is_news(merged[0], finding):
            return None
        place: State = {
            "incident": told.id,
            "cause": told.cause,
            "codes": list(told.codes),
            "onset": told.onset,
        }
        if len(merged) > 1:  # what was told of them belongs here from now on
            place["tied"] = [one["id"] for one in merged[1:]]
        return msgspec.structs.replace(finding, evidence=finding.evidence | place)

    def _told_info(self, finding: Finding, *, is_known: bool) -> Finding | None:
        if finding.cursor is None:  # of an evaluation
            return finding
        last = self._infos.get(finding.code)
        if is_known or (last is not None and 0 <= finding.step - last < INFO_UPDATES):
            return None
        self._infos = self._infos | {finding.code: finding.step}
        return finding

    def _begun(self, finding: Finding) -> State:
        times = self._times.get(finding.code, 0)
        self._times = self._times | {finding.code: times + 1}
        return {
            "id": f"{finding.code}@{finding.step}",
            "codes": [finding.code],
            "severity": finding.severity,
            "onset": finding.evidence.get("onset", finding.step),
            "quiet": 0,
            "lasts": bool(finding.evidence.get("lasting")),
            "patience": QUIET_UPDATES * 2 ** min(times, MOST_DOUBLINGS),
        }

    def _is_over(self, incident: State, pace: int) -> bool:
        if "settled" in incident:
            return bool(incident["quiet"] > SETTLING_UPDATES)
        if incident["lasts"]:
            return False
        return bool(incident["quiet"] > max(incident["patience"], QUIET_LOOKS * pace))

    def _explains_any(self, code: str, codes: Iterable[str]) -> bool:
        return not self._explains.get(code, _NOTHING).isdisjoint(codes)

    def _is_effect(self, incident: State, code: str) -> bool:
        return any(code in self._explains.get(one, _NOTHING) for one in incident["codes"])

    def _is_cause(self, incident: State, code: str) -> bool:
        """Whether `code` names a cause of the incident that nothing of it brings about in turn."""
        return self._explains_any(code, incident["codes"]) and not self._is_effect(incident, code)

    def _is_related(self, incident: State, code: str) -> bool:
        codes = incident["codes"]
        return code in codes or self._is_effect(incident, code) or self._explains_any(code, codes)

    def _root(self, codes: list[str]) -> str:
        """Return the code that none of the others brings about, or else the one that brings about most of them."""

        def rank(code: str) -> tuple[int, int]:
            explained = self._explains.get(code, _NOTHING)
            above = [
                one for one in codes if code in self._explains.get(one, _NOTHING) and one not in explained
            ]
            return len(above), -len(explained.intersection(codes))

        return min(codes, key=rank)  # the first of equals


def _is_news(incident: State, finding: Finding) -> bool:
    is_worse = _RANK[finding.severity] > _RANK[incident["severity"]]
    is_new = finding.code not in incident["codes"]
    is_late_harm = incident["lasts"] and is_new and incident["quiet"] > QUIET_UPDATES
    return is_worse or is_late_harm or bool(finding.evidence.get("again")) or bool(incident.get("retell"))


def _joined(incidents: list[State], finding: Finding) -> State:
    """Return the incidents as one, the first one's name kept, with `finding` in it."""
    codes = dict.fromkeys([*(code for one in incidents for code in one["codes"]), finding.code])
    onset = finding.evidence.get("onset", finding.step)
    return incidents[0] | {
        "codes": list(codes),
        "severity": max(finding.severity, *(one["severity"] for one in incidents), key=_RANK.__getitem__),
        "onset": min(onset, *(one["onset"] for one in incidents)),
        "quiet": 0,
        "lasts": bool(finding.evidence.get("lasting")) or any(one["lasts"] for one in incidents),
        "retell": False,
    }

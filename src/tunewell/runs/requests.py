"""What people asked of a run and what became of it: a pure function of its inbox and its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tunewell.actions import Action, Pause, Rollback
from tunewell.records import Acted, Answered, Ended, Proposed, Record, Refused, Requested
from tunewell.runs.control import is_paused, is_watched, last_end
from tunewell.runs.inbox import Request
from tunewell.runs.wording import intended

State = Literal["requested", "accepted", "applied", "refused"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a person, from its asking to its answer."""

    id: str
    by: str
    asked: float
    """When, by the asker's clock."""
    what: str
    """In words: ``set the learning rate to 1e-05``."""
    state: State
    """requested: the run has not read it yet; accepted: it is valid and is being done."""
    why: str = ""
    """Why it was refused, and what is possible."""
    detail: str = ""
    """What really changed."""
    step: int | None = None
    """Where it was answered."""
    can_undo: bool = False
    undone_by: str = ""
    """Id of the request that took it back."""


def requests(records: Sequence[Record], asked: Sequence[Request]) -> list[Asked]:
    """Return all requests, the newest last; `asked` are those of the inbox, labels among them passed over.

    Of `records` only those that answer requests count, and how the run ended: a run that is over answers no more.
    """
    answers = _Answers(records)
    told: dict[str, Asked] = {}
    for request in asked:
        if request.label is None and request.id not in told:
            told[request.id] = answers.of(request)
    gone = [
        *((one.id, one.by, one.asked, one.action) for one in answers.requested.values()),
        *((one.id, one.by, one.asked, None) for one in answers.refused.values()),
    ]  # of an inbox that is not there any more, or of lines that could not be understood
    for id, by, when, action in gone:
        if id not in told:
            told[id] = answers.of(Request(id=id, by=by, time=when, action=action))
    return [*told.values()]


class _Answers:
    """What a log says of requests, by id."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.requested = {record.id: record for record in records if isinstance(record, Requested)}
        self.refused = {record.id: record for record in records if isinstance(record, Refused)}
        self.acted = {
            record.request: record for record in records if isinstance(record, Acted) and record.request
        }
        self.answered = {
            record.request: record for record in records if isinstance(record, Answered) and record.request
        }
        self.proposed = {record.id: record for record in records if isinstance(record, Proposed)}
        self.undone = {
            one.undo: one.id
            for one in self.requested.values()
            if one.undo and (done := self.acted.get(one.id)) is not None and done.outcome == "applied"
        }
        self.is_paused = is_paused(records)
        ended = last_end(records)
        is_final = ended is not None and (ended.status in ("completed", "stopped") or is_watched(records))
        self.ended: Ended | None = ended if is_final else None

    def of(self, request: Request) -> Asked:
        """Return what became of `request`."""
        known = Asked(
            id=request.id, by=request.by, asked=request.time, what=self._what(request), state="requested"
        )
        if (acted := self.acted.get(request.id)) is not None:
            return self._done(known, acted)
        if (answered := self.answered.get(request.id)) is not None:
            return msgspec.structs.replace(known, state="applied", step=answered.step)
        if (refused := self.refused.get(request.id)) is not None:
            return msgspec.structs.replace(known, state="refused", why=refused.reason, step=refused.step)
        if self.ended is not None:
            why = f"the run ended before ({self.ended.status} at step {self.ended.step:,})"
            return msgspec.structs.replace(known, state="refused", why=why, step=self.ended.step)
        if (accepted := self.requested.get(request.id)) is not None:
            return msgspec.structs.replace(known, state="accepted", step=accepted.step)
        return known

    def _done(self, known: Asked, acted: Acted) -> Asked:
        if acted.outcome not in ("applied", "dry_run"):
            return msgspec.structs.replace(known, state="refused", why=acted.detail, step=acted.step)
        undone_by = self.undone.get(known.id, "")
        can_undo = is_undoable(acted) and not undone_by and self.ended is None
        if isinstance(acted.action, Pause):
            can_undo &= self.is_paused
        return msgspec.structs.replace(
            known,
            state="applied",
            detail=acted.detail,
            step=acted.step,
            can_undo=can_undo,
            undone_by=undone_by,
        )

    def _what(self, request: Request) -> str:
        if request.answer is not None:
            proposal = self.proposed.get(request.answer.proposal)
            verb = "approve" if request.answer.approve else "decline"
            of = "" if proposal is None else f", to {_together([proposal.action, *proposal.also])}"
            return f"{verb} proposal {request.answer.proposal}{of}"
        if request.undo is not None:
            earlier = self.acted.get(request.undo)
            return f"take back: {intended(earlier.action)}" if earlier else "take back an earlier request"
        return "nothing that can be understood" if request.action is None else intended(request.action)


def is_undoable(acted: Acted) -> bool:
    """Tell whether what was done can be taken back; a rollback can't: another checkpoint is gone to instead."""
    return acted.outcome == "applied" and acted.undo is not None and not isinstance(acted.action, Rollback)


def _together(actions: Sequence[Action]) -> str:
    return " and to ".join(intended(action) for action in actions)

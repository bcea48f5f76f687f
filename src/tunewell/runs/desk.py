"""A run's side of its inbox: what is new, what was asked before, and what taking something back means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tunewell.actions import Action, EvaluateNow, Rollback, SaveNow, Stop
from tunewell.problems import Problem
from tunewell.records import Acted, Answered, Refused, Requested, spell_non_finite
from tunewell.runs.control import Point
from tunewell.runs.inbox import Inbox, Request, Unclear
from tunewell.runs.requests import is_undoable
from tunewell.runs.wording import intended

REMEMBERED = 1_000
"""Requests whose ids are remembered: what is asked twice is done once."""


class NothingToUndoError(Exception):
    """What was asked can't be taken back; why, and what can be done instead."""


class _Known(msgspec.Struct, frozen=True):
    """A request that was answered."""

    acted: Acted | None = None
    """What was done; None: nothing was."""
    next_commit: int = 0
    """Number that the next commit had then."""
    undone: bool = False


class Desk:
    """Takes requests in, each id once, in the order in which they came.

    What it knows is part of a run's checkpoints, like where it stands in the inbox: a run that goes on from one reads
    again what came later, and only that.
    """

    def __init__(self, path: Path) -> None:
        self.inbox = Inbox(path)
        self._behind, self._open = 0, set[str]()
        """Where the inbox was read up to before the requests that are being answered, and their ids."""
        self._ahead, self._waiting = Inbox(path), list[Request]()
        self._known: dict[str, _Known] = {}

    def read(self) -> tuple[list[Request], list[Unclear]]:
        """Return the requests since the last call that are for the run, and the lines that nobody understands."""
        self._behind = self.inbox.position
        requests, unclear = self.inbox.read()
        new = []
        for request in requests:
            if request.label is None and request.id not in self._known:
                self._remember(request.id, _Known())
                new.append(request)
        self._open = {request.id for request in new}
        return new, unclear

    def answered(self, request: Request) -> None:
        """Note that all is done for a request that `read` returned; until then a checkpoint asks for it again."""
        self._open.discard(request.id)

    def waiting(self) -> list[Request]:
        """Return what `read` would, and leave it there; reads only what came since the last call of either."""
        self._ahead.position = max(self._ahead.position, self.inbox.position)
        requests = [*self._waiting, *self._ahead.read()[0]]
        self._waiting = [one for one in requests if one.label is None and one.id not in self._known]
        return self._waiting

    def note(self, request: Request, acted: Acted, next_commit: int = 0) -> None:
        """Remember what was done for `request`."""
        self._remember(request.id, _Known(acted, next_commit))
        earlier = None if request.undo is None else self._known.get(request.undo)
        if earlier is not None and request.undo is not None and acted.outcome == "applied":
            self._known[request.undo] = msgspec.structs.replace(earlier, undone=True)

    def taking_back(self, id: str, points: Sequence[Point] = ()) -> Action:
        """Return the action that takes back what was done for the request `id`.

        `points` are the checkpoints there are. Raises `NothingToUndoError` where nothing does.
        """
        known = self._known.get(id)
        if known is None:
            raise NothingToUndoError("there is no such request here that could be taken back")
        acted = known.acted
        if acted is None or acted.outcome != "applied":
            raise NothingToUndoError("it was refused: there is nothing to take back")
        if known.undone:
            raise NothingToUndoError("it was taken back already")
        if isinstance(acted.action, Rollback):
            raise NothingToUndoError(_instead(known, acted, points))
        if acted.undo is None or not is_undoable(acted):
            raise NothingToUndoError(_why_not(acted.action))
        return acted.undo

    def forget(self) -> None:
        """Begin with an inbox that nobody has written to."""
        self.inbox.position = self._ahead.position = 0
        self._known = {}

    def pack(self) -> dict[str, Any]:
        """Return all that is known as JSON values."""
        known = {id: one for id, one in self._known.items() if id not in self._open}
        packed: dict[str, Any] = spell_non_finite(msgspec.to_builtins(known))
        return {"position": self._behind if self._open else self.inbox.position, "known": packed}

    def unpack(self, packed: Mapping[str, Any]) -> None:
        """Stand where `pack` stood."""
        self.inbox.position = packed["position"]
        self._known = msgspec.convert(packed["known"], dict[str, _Known], strict=False)

    def _remember(self, id: str, known: _Known) -> None:
        self._known[id] = known
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]


def accepted(request: Request, action: Action, step: int, now: float) -> Requested:
    """Return the record that a run takes `request` up, which comes down to `action`."""
    return Requested(
        time=now,
        step=step,
        id=request.id,
        by=request.by,
        asked=request.time,
        action=action,
        undo=request.undo or "",
    )


def refused(request: Request | Unclear, why: str, step: int, now: float) -> Refused:
    """Return the record that nothing comes of `request`."""
    return Refused(time=now, step=step, id=request.id, by=request.by, asked=request.time, reason=why)


def reply(
    request: Request, open_proposals: Collection[int], over: str, step: int, now: float
) -> Answered | Refused:
    """Return the record that `request`, a person's answer to a proposal, comes to; `over`: why nothing is asked any more."""
    answer = request.answer
    assert answer is not None
    if over or answer.proposal not in open_proposals:
        why = over or f"the run does not ask {answer.proposal}, or it was answered"
        return refused(request, why, step, now)
    return Answered(
        time=now, step=step, id=answer.proposal, approved=answer.approve, by=request.by, request=request.id
    )


def declined(request: Request, action: Action, problem: Problem, step: int, now: float) -> Acted:
    """Return the record that `action` was asked for and is not possible."""
    why = f"{problem.message}; {problem.fix}" if problem.fix else problem.message
    return Acted(
        time=now,
        step=step,
        action=action,
        by=request.by,
        reason=ASKED_FOR,
        outcome="refused",
        detail=why,
        request=request.id,
    )


ASKED_FOR = "asked for"
"""Reason of what a person asks for: who that was stands beside it."""


def _instead(known: _Known, acted: Acted, points: Sequence[Point]) -> str:
    """Say which checkpoint holds what a rollback gave up."""
    told = "a rollback can't be taken back"
    before = [
        one for one in points if one.healthy and one.commit < known.next_commit and one.step <= acted.step
    ]
    if not before or (isinstance(acted.action, Rollback) and before[-1].commit == acted.action.commit):
        return f"{told}, and no newer checkpoint of before it is left"
    return f"{told}: go to checkpoint {before[-1].commit} (step {before[-1].step:,}), the last one before it"


def _why_not(action: Action) -> str:
    match action:
        case Stop():
            return "the run is ending: branch from one of its checkpoints to train on"
        case SaveNow() | EvaluateNow():
            return f"to {intended(action)} changes nothing that could be taken back"
    return f"nothing takes this back: to {intended(action)}"

"""Requests from people to a run: `inbox.jsonl` in its folder, append-only, one JSON object a line.

Whoever wants something of a run appends a line; the run reads what is new at its next boundary between two updates. A
line names who asks, and holds one wish::

    {"id": "6f1c…", "by": "anna", "time": 1767000000.0, "answer": {"proposal": 3, "approve": true}}
    {"id": "90ab…", "by": "ben", "time": 1767000100.0, "action": {"do": "save_now"}}

Where the run stands in the file is part of its checkpoints: after a crash it reads again what its log has lost.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tunewell.actions import Action
from tunewell.problems import Problem, RunError
from tunewell.records import Answered, Ended, Proposed, Record
from tunewell.runs.disk import in_words
from tunewell.runs.folder import RunFolder


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A person's answer to a proposal."""

    proposal: int
    """`Proposed.id`."""
    approve: bool


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: exactly one of the wishes is there."""

    id: str
    """Anything that no other request has."""
    by: str
    time: float = 0.0
    answer: Reply | None = None
    action: Action | None = None
    """Something to do at once."""


class Inbox:
    """The run's side: reads what is new; asks the disk for no more than the file's size where nothing is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0
        """Bytes read so far."""

    def read(self) -> tuple[list[Request], list[str]]:
        """Return the requests since the last call, and a sentence for each line that is none.

        A line that is still being written waits for the next call. A file that can't be read holds nothing.
        """
        try:
            if os.stat(self._path).st_size <= self.position:
                return [], []
            with self._path.open("rb") as file:
                file.seek(self.position)
                content = file.read()
        except OSError:
            return [], []
        whole = content[: content.rfind(b"\n") + 1]
        requests: list[Request] = []
        said: list[str] = []
        for line in whole.splitlines():
            try:
                request = msgspec.json.decode(line, type=Request)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                said.append(f"a line of {self._path.name} can't be understood and is passed over: {error}")
                continue
            requests.append(request)
        self.position += len(whole)
        return requests, said


def send(run: RunFolder, by: str, *, answer: Reply | None = None, action: Action | None = None) -> Request:
    """Append a request to the inbox of `run` and return it; raises `RunError` where the disk refuses."""
    assert (answer is None) != (action is None), "a request holds one wish"
    request = Request(id=uuid.uuid4().hex, by=by, time=time.time(), answer=answer, action=action)
    with in_words("write to the run's inbox", run.inbox):
        descriptor = os.open(run.inbox, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, msgspec.json.encode(request) + b"\n")  # one call: lines of two don't mix
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return request


def open_proposals(records: Sequence[Record], run: RunFolder | None = None) -> list[Proposed]:
    """Return the proposals of a log that wait for an answer; an answer that `run` has not read yet counts."""
    proposed = {record.id: record for record in records if isinstance(record, Proposed)}
    answered = {record.id for record in records if isinstance(record, Answered)}
    if run is not None:
        waiting, _ = Inbox(run.inbox).read()
        times = {one.id: one.time for one in proposed.values()}
        answered |= {
            one.answer.proposal
            for one in waiting
            if one.answer is not None and one.time >= times.get(one.answer.proposal, 0.0)
        }
    return [record for record in proposed.values() if record.id not in answered]


def answer(
    run: RunFolder, records: Sequence[Record], number: int | None, *, approve: bool, by: str
) -> Proposed:
    """Send the answer to proposal `number` (None: the only open one) and return that proposal.

    Raises `RunError` when there is no such proposal, several are open, or the run is over.
    """
    waiting = open_proposals(records, run)
    ended = next((one for one in reversed(records) if isinstance(one, Ended)), None)
    if ended is not None and ended.status in ("completed", "stopped"):
        problem = Problem(
            "run",
            f"`{run.name}` is {ended.status}: nothing can be done about it",
            fix=f"tunewell why {run.name}",
        )
        raise RunError(problem)
    found = [one for one in waiting if number in (None, one.id)]
    if len(found) != 1:
        raise RunError(_not_found(run, waiting, number))
    send(run, by, answer=Reply(proposal=found[0].id, approve=approve))
    return found[0]


def _not_found(run: RunFolder, waiting: Sequence[Proposed], number: int | None) -> Problem:
    told = ", ".join(f"{one.id} ({one.code.replace('_', ' ')})" for one in waiting)
    if not waiting:
        return Problem(
            "run",
            f"`{run.name}` asks nothing",
            fix="it proposes where its recipe says so: `on: {loss_spike: ask}`",
        )
    if number is None:
        return Problem(
            "run", f"`{run.name}` asks several things: {told}", fix="name one: tunewell approve RUN ID"
        )
    return Problem("run", f"`{run.name}` does not ask {number}, or it was answered", fix=f"it asks {told}")

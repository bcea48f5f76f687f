"""Requests from people to a run: `inbox.jsonl` in its folder, append-only, one JSON object a line.

Whoever wants something of a run appends a line; the run reads what is new at its next boundary between two updates. A
line names who asks, and holds one wish::

    {"id": "6f1c…", "by": "anna", "time": 1767000000.0, "answer": {"proposal": 3, "approve": true}}
    {"id": "90ab…", "by": "ben", "time": 1767000100.0, "action": {"do": "save_now"}}
    {"id": "12cd…", "by": "ben", "time": 1767000130.0, "undo": "77ef…"}
    {"id": "34ef…", "by": "ben", "time": 1767000160.0, "label": {"tags": ["baseline"], "note": "the first that works"}}

Where the run stands in the file is part of its checkpoints: after a crash it reads again what its log has lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tunewell.actions import Action
from tunewell.problems import Problem, RunError
from tunewell.records import Answered, Ended, Proposed, Record, spell_non_finite
from tunewell.runs.disk import in_words
from tunewell.runs.folder import RunFolder

MOST_BYTES = 1 << 20
"""Of one request; 100,000 rows to exclude fit."""
_NAME_LENGTH = 200

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_NAME_LENGTH)]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A person's answer to a proposal."""

    proposal: int
    """`Proposed.id`."""
    approve: bool


class Label(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people call a run: for views alone, the run itself takes no notice. None: as it was."""

    tags: list[str] | None = None
    """All tags, in place of those before."""
    note: str | None = None
    """The note, in place of the one before."""


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: exactly one of the wishes is there."""

    id: Name
    """Anything that no other request has: one that comes twice is done once."""
    by: Name
    time: float = 0.0
    answer: Reply | None = None
    action: Action | None = None
    """Something to do at once."""
    undo: str | None = None
    """Id of an earlier request to take back."""
    label: Label | None = None

    @property
    def wishes(self) -> int:
        """How many of the wishes are there: one, in a request that can be taken up."""
        return sum(wish is not None for wish in (self.answer, self.action, self.undo, self.label))


class Unclear(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is no request; what could be read of it, so that whoever asked can be answered."""

    id: str = ""
    by: str = "somebody"
    time: float = 0.0
    why: str = ""
    """Why it can't be understood."""


class Inbox:
    """The run's side: reads what is new; asks the disk for no more than the file's size where nothing is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        """Bytes read so far."""

    def has_news(self) -> bool:
        """Tell whether something was written since `read` was called last."""
        try:
            return os.stat(self.path).st_size > self.position
        except OSError:
            return False

    def read(self) -> tuple[list[Request], list[Unclear]]:
        """Return the requests since the last call, and the lines that are none.

        A line that is still being written waits for the next call. A file that can't be read holds nothing.
        """
        if not self.has_news():
            return [], []
        try:
            with self.path.open("rb") as file:
                file.seek(self.position)
                content = file.read()
        except OSError:
            return [], []
        whole = content[: content.rfind(b"\n") + 1]
        self.position += len(whole)
        found = [_decoded(line) for line in whole.splitlines() if line.strip()]
        requests = [one for one in found if isinstance(one, Request)]
        return requests, [one for one in found if isinstance(one, Unclear)]


_decoder = msgspec.json.Decoder(Request, strict=False)  # it takes "Infinity" for the number that JSON lacks


def _decoded(line: bytes) -> Request | Unclear:
    """Return the request of one line, or as much of it as can be told."""
    if len(line) > MOST_BYTES:
        return Unclear(why=f"a request has at most {MOST_BYTES:,} bytes, and this has {len(line):,}")
    try:
        request = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = str(error)
    else:
        if request.wishes == 1:
            return request
        why = f"a request holds one wish, and this holds {request.wishes or 'none'}"
    return _named(line, f"it can't be understood: {why}")


def _named(line: bytes, why: str) -> Unclear:
    """Return what can be told of a line that is no request."""
    known: dict[str, Any] = {}
    with contextlib.suppress(ValueError, RecursionError):
        read = json.loads(line)  # unlike msgspec's it reads 1e999, so that whoever sent that is answered
        known = read if isinstance(read, dict) else {}
    told = {name: known[name][:_NAME_LENGTH] for name in ("id", "by") if isinstance(known.get(name), str)}
    asked = known.get("time", 0.0)
    return Unclear(**told, time=float(asked) if isinstance(asked, int | float) else 0.0, why=why)


def read_all(run: RunFolder) -> list[Request]:
    """Return every request to `run` that can be understood, the newest last; each id counts once."""
    first: dict[str, Request] = {}
    for request in Inbox(run.inbox).read()[0]:
        first.setdefault(request.id, request)
    return [*first.values()]


def label(requests: Sequence[Request]) -> Label:
    """Return what a run is called after all of `requests`."""
    tags, note = None, None
    for request in requests:
        if request.label is not None:
            tags = tags if request.label.tags is None else request.label.tags
            note = note if request.label.note is None else request.label.note
    return Label(tags=tags or [], note=note or "")


def send(
    run: RunFolder,
    by: str,
    *,
    answer: Reply | None = None,
    action: Action | None = None,
    undo: str | None = None,
    label: Label | None = None,
    id: str = "",
) -> Request:
    """Append a request to the inbox of `run` and return it; raises `RunError` where the disk refuses.

    It holds one wish. `id`: anything that no other request has; one is made up where none is given.
    """
    request = Request(
        id=id or uuid.uuid4().hex,
        by=by,
        time=time.time(),
        answer=answer,
        action=action,
        undo=undo,
        label=label,
    )
    assert request.wishes == 1, "a request holds one wish"
    line = msgspec.json.encode(spell_non_finite(msgspec.to_builtins(request))) + b"\n"
    with in_words("write to the run's inbox", run.inbox):
        descriptor = os.open(run.inbox, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)  # one call: lines of two don't mix
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

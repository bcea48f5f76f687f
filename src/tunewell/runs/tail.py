"""A log followed while it grows, and the answer to one request waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tunewell.records import Record, decode
from tunewell.runs.disk import in_words
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Request
from tunewell.runs.requests import Asked, requests

LOOK_SECONDS = 0.1
"""Between two looks for an answer."""
_STEP = b'{"type":"step"'
_CHUNK = 1 << 24


class Tail:
    """Reads what is new in a log; of steps, which a log mostly is, only the last one of each reading."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0

    def read(self) -> list[Record]:
        """Return the records since the last call; a line that is damaged or still being written is left out.

        A log that was cut back, as by a resume, is read from its beginning again.
        """
        if not self.path.exists():
            return []
        found: list[Record] = []
        step = b""
        with in_words("read the log", self.path), self.path.open("rb") as file:
            self.position = self.position if self.path.stat().st_size >= self.position else 0
            file.seek(self.position)
            while whole := _whole_lines(file.read(_CHUNK)):
                self.position += len(whole)
                for line in whole.splitlines():
                    if line.startswith(_STEP):
                        step = line
                    elif (record := _decoded(line)) is not None:
                        found += _steps(step)
                        step = b""
                        found.append(record)
                file.seek(self.position)
        return [*found, *_steps(step)]


def await_answer(
    run: RunFolder,
    request: Request,
    tail: Tail,
    known: list[Record],
    seconds: float,
    tell: Callable[[Asked], None] = lambda _: None,
) -> Asked:
    """Wait until `request` is answered, `seconds` are over, or nobody trains `run` any more; return what is known then.

    `tail` goes on from where `known`, the records so far, ended; `tell` is given each change of the request's state.
    """
    records, until, state = list(known), time.monotonic() + seconds, ""
    while True:
        is_held = run.holder() is not None  # asked first: what a process that is gone wrote is there already
        records += tail.read()
        asked = next(one for one in requests(records, [request]) if one.id == request.id)
        if asked.state != state:
            state = asked.state
            tell(asked)
        if state in ("applied", "refused") or not is_held or not time.monotonic() < until:
            return asked
        time.sleep(LOOK_SECONDS)


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _steps(line: bytes) -> list[Record]:
    record = _decoded(line) if line else None
    return [] if record is None else [record]


def _decoded(line: bytes) -> Record | None:
    try:
        return decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

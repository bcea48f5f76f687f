"""Layers over steps: of a long log only the lines in which layers were looked at are read."""

from __future__ import annotations

import os
from array import array
from typing import Any

import msgspec

from tunewell.records import Step, decode
from tunewell.runs.downsample import finite
from tunewell.runs.live import LiveLog
from tunewell.web.watched import WatchedRun

_CHUNK = 1 << 20
_LINE = 16 << 10
_LONGEST_LINE = 4 << 20
_STEP = b'{"type":"step"'
_MARKS = {"gradients": b'"layer_gradients":', "updates": b'"layer_updates":', "rows": b'"worst_rows":'}


class Index:
    """Where the lines of updates begin that hold a mark; only what was added to the log is searched."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self.starts: array[int] = array("q")
        self._searched = 0
        self._generation = -1

    def advance(self, log: LiveLog) -> None:
        """Search what is new."""
        if log.position < self._searched or log.read_anew != self._generation:
            self.starts, self._searched, self._generation = array("q"), 0, log.read_anew
        with log.path.open("rb", buffering=0) as file:
            while self._searched < log.position:
                text = os.pread(file.fileno(), min(_CHUNK, log.position - self._searched), self._searched)
                whole = text.rfind(b"\n") + 1
                if not whole:
                    return
                found = text.find(self._mark, 0, whole)
                while found >= 0:
                    start = text.rfind(b"\n", 0, found) + 1
                    if text.startswith(_STEP, start):
                        self.starts.append(self._searched + start)
                    found = text.find(self._mark, text.find(b"\n", found), whole)
                self._searched += whole


def index_of(run: WatchedRun, what: str) -> Index:
    """Return the index of a kind of lines of `run`, up to date."""
    found = run.indexes.setdefault(what, Index(_MARKS[what]))
    assert isinstance(found, Index)
    found.advance(run.log)
    return found


def steps_at(log: LiveLog, starts: list[int]) -> list[Step]:
    """Return the updates whose lines begin at `starts`."""
    found = []
    with log.path.open("rb", buffering=0) as file:
        for start in starts:
            size = _LINE
            text = os.pread(file.fileno(), size, start)
            while b"\n" not in text and size < _LONGEST_LINE and len(text) == size:
                size *= 4
                text = os.pread(file.fileno(), size, start)
            try:
                record = decode(text[: text.find(b"\n")])
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(record, Step):
                found.append(record)
    return found


def layers(run: WatchedRun, what: str, points: int) -> dict[str, Any]:
    """Return gradient norms or update sizes by layer at up to `points` updates that count."""
    starts = index_of(run, what).starts
    count = len(starts)
    chosen = (
        sorted({(count - 1) * number // max(1, points - 1) for number in range(min(points, count))})
        if count
        else []
    )
    alive: list[Step] = []
    for step in steps_at(run.log, [starts[place] for place in chosen]):
        while alive and alive[-1].step >= step.step:  # what a rewind undid
            alive.pop()
        alive.append(step)
    kept = [step for step in alive if not run.log.columns["step"] or step.step <= run.log.columns["step"][-1]]
    values = [(step.layer_gradients if what == "gradients" else step.layer_updates) or {} for step in kept]
    names = list(dict.fromkeys(name for one in values for name in one))
    return {
        "what": what,
        "steps": [step.step for step in kept],
        "layers": names,
        "values": [[finite(one.get(name)) for one in values] for name in names],
        "total": count,
    }

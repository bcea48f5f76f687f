"""A run's log while it grows: only what is new is read, updates become columns, all else stays records."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from pathlib import Path

import msgspec

from tunewell.inspections import Inspected
from tunewell.records import Committed, Note, Record, Rewound, Started, Step, decode
from tunewell.runs.columns import FIELDS, Columns

_CHUNK = 1 << 20  # small enough that another thread waits a few milliseconds at most
_STEP = b'{"type":"step"'
_TAIL = 256
_OTHER = re.compile(rb'\n(?!\{"type":"step")')
_LONGEST_LINE = 64 << 20


class Undone:
    """A piece of the curve that a rollback or a resume took back."""

    def __init__(self, columns: Columns, to_step: int) -> None:
        self.columns = columns
        self.to_step = to_step


class LiveLog:
    """What a log says, kept up to date by `advance`; belongs to one thread at a time.

    A log that became shorter, or whose text before the place read last is another, is read anew: a resume trims it.
    Lines that can't be understood are passed over and counted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_anew = 0
        """Raised whenever the log was replaced or cut, so that places in it mean nothing any more."""
        self.generation = 0
        """Raised whenever points that were there are gone: rewound, or the log was replaced."""
        self._begin()

    def _begin(self) -> None:
        self.position = 0
        self.columns = Columns()
        self.undone: list[Undone] = []
        self.records: list[Record] = []
        """Everything but updates and looks inside, in order."""
        self.offsets: list[int] = []
        """Where in the log each of `records` begins."""
        self.memory: list[tuple[int, float, Inspected]] = []
        """Step, time and last look that measured memory or disk, thinned out where they are many."""
        self.damaged = 0
        self.first_damage = ""
        self.last_step_place = 0
        """How many of `records` stand before the last update that counts."""
        self._tail = b""
        self.steps_seen = 0
        """Updates in the log, undone ones too."""
        self._seen_at: dict[int, int] = {}  # commit -> updates in the log before it

    def advance(self) -> bool:
        """Read what is new and return whether anything was; raises `OSError` where the log can't be read."""
        with self.path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            changed = False
            if size < self.position or (self._tail and not self._is_same(file.fileno())):
                self.generation += 1
                self.read_anew += 1
                self._begin()
                changed = True
            file.seek(self.position)
            left = b""
            while chunk := file.read(_CHUNK):
                whole = chunk.rfind(b"\n") + 1
                if not whole:
                    left += chunk
                    if len(left) > _LONGEST_LINE:
                        raise OSError(f"a line of {self.path.name} is longer than {_LONGEST_LINE:,} bytes")
                    continue
                text = left + chunk[:whole]
                left = chunk[whole:]
                self._take(text)
                self.position += len(text)
                self._tail = text[-_TAIL:]
                changed = True
        return changed

    def _is_same(self, descriptor: int) -> bool:
        return os.pread(descriptor, len(self._tail), self.position - len(self._tail)) == self._tail

    def _take(self, text: bytes) -> None:
        """Take whole lines."""
        first = 0
        starts = [] if text.startswith(_STEP) else [0]
        for start in [*starts, *(found.end() for found in _OTHER.finditer(text))]:
            if start == len(text):
                break
            if start > first:
                self._take_steps(text[first:start])
            first = text.index(b"\n", start) + 1
            self._take_other(text[start:first], self.position + start)
        if first < len(text):
            self._take_steps(text[first:])

    def _take_steps(self, text: bytes) -> None:
        try:
            self.steps_seen += self.columns.extend(text, self.steps_seen)
            self.last_step_place = len(self.records)
        except (msgspec.DecodeError, UnicodeDecodeError):
            for line in text.split(b"\n")[:-1]:
                self._take_doubtful(line)

    def _take_doubtful(self, line: bytes) -> None:
        try:
            step = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._count_damage(error)
            return
        if isinstance(step, Step):
            self._append(step)

    def _append(self, step: Step) -> None:
        self.columns.append(step, self.steps_seen)
        self.steps_seen += 1
        self.last_step_place = len(self.records)

    def _take_other(self, line: bytes, offset: int) -> None:
        try:
            record = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._count_damage(error)
            return
        match record:
            case Step():  # spelled in another order of keys than ours
                self._append(record)
                return
            case Inspected():
                self._keep_look(record)
                return
            case Committed():
                self._seen_at[record.commit] = self.steps_seen
            case Rewound():
                self._rewind(record)
            case _:
                pass
        self.records.append(record)
        self.offsets.append(offset)

    def _count_damage(self, error: Exception) -> None:
        self.damaged += 1
        self.first_damage = self.first_damage or str(error)

    def _keep_look(self, record: Inspected) -> None:
        if record.memory_bytes is None and record.disk_free is None:
            return
        self.memory.append((record.step, record.time, record))
        if len(self.memory) > 2_000:
            del self.memory[::2]

    def _rewind(self, record: Rewound) -> None:
        """Cut off what `runs.timeline` leaves out."""
        steps = self.columns["step"]
        first = bisect_right(steps, record.to_step)
        since = self._seen_at.get(record.commit)
        while (
            first
            and since is not None
            and steps[first - 1] == record.to_step
            and self.columns.places[first - 1] >= since
        ):
            first -= 1
        if first < len(steps):
            self.undone.append(Undone(self.columns.cut(first), record.to_step))
            self.generation += 1
            self.last_step_place = len(self.records)

    def last_step(self) -> Step | None:
        """Return the last update that counts, as far as columns hold it."""
        if not len(self.columns):
            return None
        values = {name: self.columns[name][-1] for name in FIELDS if name not in {"given", "max_grad_norm"}}
        return Step(**{**values, "skipped": bool(values["skipped"])}, stage=0)

    @property
    def started(self) -> Started | None:
        """The record that began the run."""
        return next((record for record in self.records if isinstance(record, Started)), None)

    def damage(self) -> list[Note]:
        """Return a note that says how many lines could not be read, if any."""
        if not self.damaged:
            return []
        are = "line of the log is" if self.damaged == 1 else "lines of the log are"
        text = f"{self.damaged:,} {are} damaged and passed over ({self.first_damage})"
        return [Note(step=0, text=text, topic="damage")]

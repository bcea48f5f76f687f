"""A run's log while it grows: only what is new is read, updates become columns, all else stays records."""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from pathlib import Path

import msgspec

from tunewell.inspections import Inspected
from tunewell.records import Committed, Note, Record, Rewound, Started, Step, decode
from tunewell.runs.columns import FIELDS, Columns
from tunewell.runs.timeline import timeline

_CHUNK = 1 << 20  # small enough that another thread waits a few milliseconds at most
_STEP = b'{"type":"step"'
_TAIL = 256
_OTHER = re.compile(rb'\n(?!\{"type":"step")')
_LONGEST_LINE = 64 << 20


class MachineLook(msgspec.Struct, frozen=True, kw_only=True):
    """What a look inside measured of the machine; see `Inspected`."""

    step: int
    time: float
    memory_bytes: int | None
    memory_limit: int | None
    disk_free: int | None
    process_share: float | None
    machine_share: float | None
    gpu_share: float | None
    phase_seconds: dict[str, float] | None


_MEASURED = MachineLook.__struct_fields__[2:]
_MOST_LOOKS = 2_000


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
        self.looks: list[MachineLook] = []
        """What was measured of the machine, thinned out where it is much."""
        self.damaged = 0
        self.first_damage = ""
        self._tail = b""
        self.steps_seen = 0
        """Updates in the log, undone ones too."""
        self._seen_at: dict[int, int] = {}  # commit -> updates in the log before it
        self._seen_before: list[int] = []  # the same for each of `records`
        self._given_up: set[int] = set()  # commits of courses that were left for an earlier one

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
                self._given_up.discard(record.commit)
            case Rewound():
                self._rewind(record)
            case _:
                pass
        self.records.append(record)
        self.offsets.append(offset)
        self._seen_before.append(self.steps_seen)

    def _count_damage(self, error: Exception) -> None:
        self.damaged += 1
        self.first_damage = self.first_damage or str(error)

    def _keep_look(self, record: Inspected) -> None:
        values = {name: getattr(record, name, None) for name in _MEASURED}
        if all(value is None for value in values.values()):
            return
        self.looks.append(MachineLook(step=record.step, time=record.time, **values))
        if len(self.looks) > _MOST_LOOKS:
            del self.looks[::2]

    def _rewind(self, record: Rewound) -> None:
        """Cut off what `runs.timeline` leaves out; the rewind itself is not among `records` yet."""
        if record.commit in self._given_up:
            self._restore(record)
            return
        steps = self.columns["step"]
        first = bisect_right(steps, record.to_step)
        since = self._seen_at.get(record.commit)
        if since is not None:
            first = min(first, bisect_left(self.columns.places, since))
        later = [commit for commit, seen in self._seen_at.items() if since is not None and seen > since]
        for commit in later:
            self._given_up.add(commit)
        if first < len(steps):
            self.undone.append(Undone(self.columns.cut(first), record.to_step))
            self.generation += 1

    def _restore(self, record: Rewound) -> None:
        """Go back to a course that had been left: rare, so `timeline` itself is asked which updates count."""
        every = Columns.merged([self.columns, *(piece.columns for piece in self.undone)])
        steps = [_stand_in(step, place) for step, place in zip(every["step"], every.places, strict=True)]
        log: list[Record] = []
        done = 0
        for seen, other in zip([*self._seen_before, self.steps_seen], [*self.records, record], strict=True):
            upto = bisect_left(every.places, seen)
            log += [*steps[done:upto], other]
            done = upto
        line = timeline(log)
        alive = {one.cursor for one in line if isinstance(one, Step)}
        self.columns, undone = every.split(alive)
        self.undone = [Undone(undone, record.to_step)] if len(undone) else []
        present = {one.commit for one in line if isinstance(one, Committed)}
        self._given_up = set(self._seen_at) - present
        self.generation += 1

    def last_step(self) -> Step | None:
        """Return the last update that counts, as far as columns hold it."""
        if not len(self.columns):
            return None
        values = {name: self.columns[name][-1] for name in FIELDS if name not in {"given", "max_grad_norm"}}
        return Step(**{**values, "skipped": bool(values["skipped"])}, stage=0)

    @property
    def last_step_place(self) -> int:
        """How many of `records` stand in the log before the last update that counts."""
        return bisect_right(self._seen_before, self.columns.places[-1]) if len(self.columns) else 0

    def records_before(self, at: int) -> list[Record]:
        """Return those of `records` that stand in the log before the update at index `at` of `columns`."""
        return self.records[: bisect_right(self._seen_before, self.columns.places[at])]

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


def _stand_in(step: int, place: int) -> Step:
    """Return an update that has nothing but its step and, as its cursor, its place in the log."""
    return Step(
        step=step, cursor=place, epoch=0.0, stage=0, loss=0.0, learning_rate=0.0, gradient_norm=0.0, rows=0, tokens=0,
        seconds=0.0,
    )  # fmt: skip

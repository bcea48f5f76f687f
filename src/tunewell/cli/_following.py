"""A run followed from its log alone: where it stands, its losses as they come, what happened last."""

from __future__ import annotations

import bisect
from array import array
from collections import deque
from pathlib import Path

import msgspec
import numpy as np

from tunewell.cli._events import event
from tunewell.cli._progress import Progress
from tunewell.inspections import Inspected
from tunewell.records import Acted, Effect, Eval, Finding, Record, Rewound, Step, decode
from tunewell.runs.curves import Curve

_CHUNK = 1 << 24
_EVENTS = 50


class Losses:
    """The losses of a run as they stand: what was undone is gone from them."""

    def __init__(self) -> None:
        self._steps = array("d")  # copied at once where a list would be converted number by number
        self._losses = array("d")
        self._evals: list[tuple[int, float]] = []

    def take(self, record: Record) -> None:
        """Take one record in."""
        match record:
            case Step():
                self._steps.append(record.step)
                self._losses.append(record.loss)
            case Eval(split="validation"):
                self._evals.append((record.step, record.loss))
            case Rewound():
                left = bisect.bisect_right(self._steps, record.to_step)
                del self._steps[left:], self._losses[left:]
                self._evals = [pair for pair in self._evals if pair[0] <= record.to_step]

    def curves(self) -> tuple[Curve, Curve]:
        """Return the training losses and those of the validations."""
        evals = np.asarray(self._evals, dtype=np.float64).reshape(-1, 2)
        return Curve(np.array(self._steps), np.array(self._losses)), Curve(evals[:, 0], evals[:, 1])


class Following:
    """Reads what is new in a log, every step of it; a log that was cut back is read anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position, self._file_id = 0, 0
        self._begin()

    def _begin(self) -> None:
        self._position = 0
        self.progress, self.losses = Progress(), Losses()
        self.events: deque[tuple[str, str]] = deque(maxlen=_EVENTS)
        self.said: list[Record] = []
        """All but updates and looks inside: what requests are answered by."""
        self.trouble: Finding | None = None
        """The last fault that nothing has helped against yet."""
        self.updated = 0.0

    def read(self) -> bool:
        """Take in what is new; return whether anything was."""
        try:
            about = self._path.stat()
            if about.st_size < self._position or (self._file_id and about.st_ino != self._file_id):
                self._begin()
            self._file_id = about.st_ino
            if about.st_size == self._position:
                return False
            with self._path.open("rb") as file:
                file.seek(self._position)
                while (content := file.read(_CHUNK)) and (end := content.rfind(b"\n") + 1):
                    self._position += end
                    self._take(content[:end])
                    file.seek(self._position)
        except OSError:  # being replaced, or gone for a moment
            return False
        return True

    def _take(self, lines: bytes) -> None:
        for line in lines.splitlines():
            try:
                record = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            # The clock is the record's own: then a run that is over shows the speed that it had.
            self.progress.take(record, record.time)
            self.losses.take(record)
            self.updated = record.time or self.updated
            if not isinstance(record, Step | Inspected):
                self._hear(record)
            elif self.progress.ended is not None:  # it went on after that
                self.progress.ended = None

    def _hear(self, record: Record) -> None:
        self.said.append(record)
        match record:
            case Finding() if record.severity != "info":
                self.trouble = record
            case Effect():
                if record.helped and self.trouble is not None and self.trouble.code == record.code:
                    self.trouble = None
                self.events.append((f"  step {record.step:,}  {record.text}", "cyan"))
                return
            case Rewound(reason="resume"):
                self.progress.ended = None
        if isinstance(record, Finding | Acted | Rewound) and (told := event(record)):
            self.events.append(told)

"""The updates of a run as columns of plain numbers: a million of them fit in memory and are read in about a second."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from tunewell.records import Step

_NAN = float("nan")


class _Point(msgspec.Struct, gc=False):
    """What charts show of a `Step`; a whole `Step` would take four times as long to read."""

    step: int
    cursor: int
    epoch: float
    time: float = 0.0
    loss: float = _NAN
    given: float = _NAN
    learning_rate: float = _NAN
    gradient_norm: float = _NAN
    max_grad_norm: float = _NAN
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    skipped: bool = False


_decoder = msgspec.json.Decoder(_Point, strict=False)
_TYPES = {"step": "q", "cursor": "q", "rows": "q", "tokens": "q", "skipped": "b"}
_TAKE: dict[str, Callable[[Sequence[_Point]], list[float]]] = {  # written out: half the time of `attrgetter`
    "step": lambda points: [p.step for p in points],
    "cursor": lambda points: [p.cursor for p in points],
    "epoch": lambda points: [p.epoch for p in points],
    "time": lambda points: [p.time for p in points],
    "loss": lambda points: [p.loss for p in points],
    "given": lambda points: [p.given for p in points],
    "learning_rate": lambda points: [p.learning_rate for p in points],
    "gradient_norm": lambda points: [p.gradient_norm for p in points],
    "max_grad_norm": lambda points: [p.max_grad_norm for p in points],
    "rows": lambda points: [p.rows for p in points],
    "tokens": lambda points: [p.tokens for p in points],
    "seconds": lambda points: [p.seconds for p in points],
    "data_seconds": lambda points: [p.data_seconds for p in points],
    "skipped": lambda points: [p.skipped for p in points],
}
FIELDS = tuple(_TAKE)
"""Columns that are fields of `Step`."""


class Columns:
    """Updates in the order of a run, each field an array; what was undone is cut off their end."""

    def __init__(self) -> None:
        self.of: dict[str, array[Any]] = {name: array(_TYPES.get(name, "d")) for name in FIELDS}
        self.places: array[int] = array("q")
        """Place of each update among all that the log holds, undone ones too."""
        self.total_tokens: array[int] = array("q")
        """Tokens up to each update, itself included."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, name: str) -> array[Any]:
        return self.of[name]

    def extend(self, lines: bytes, first_place: int) -> int:
        """Add the updates in `lines` and return how many; raises `msgspec.DecodeError` before any is added."""
        points = _decoder.decode_lines(lines)
        self._add(points, first_place)
        return len(points)

    def append(self, step: Step, place: int) -> None:
        """Add one update."""
        values = {name: getattr(step, name) for name in FIELDS}
        point = _Point(**{name: value for name, value in values.items() if value is not None})
        self._add([point], place)

    def _add(self, points: Sequence[_Point], first_place: int) -> None:
        if not points:
            return
        for name, take in _TAKE.items():
            self.of[name].fromlist(take(points))
        self.places.extend(range(first_place, first_place + len(points)))
        before = self.total_tokens[-1] if self.total_tokens else 0
        sums = accumulate([p.tokens for p in points], initial=before)
        next(sums)
        self.total_tokens.fromlist(list(sums))

    def cut(self, first: int) -> Columns:
        """Take the updates from index `first` on out and return them."""
        piece = Columns()
        for name, column in self.of.items():
            piece.of[name] = column[first:]
            del column[first:]
        piece.places = self.places[first:]
        piece.total_tokens = self.total_tokens[first:]
        del self.places[first:]
        del self.total_tokens[first:]
        return piece

    @property
    def bytes(self) -> int:
        """Memory that the numbers take."""
        every = [*self.of.values(), self.places, self.total_tokens]
        return sum(column.itemsize * len(column) for column in every)

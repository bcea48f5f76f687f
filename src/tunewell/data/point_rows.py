"""Which rows made a point of a loss curve, and what they came to then and later.

The order of batches is a function of position: lengths of the training rows, the recipe's few numbers and a cursor give the
rows back. A run keeps the lengths in ``rows/lengths.bin`` and the numbers in ``rows/order.bin``, as JSON.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Sequence
from itertools import takewhile
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from tunewell.data.batches import BatchOrder
from tunewell.problems import Problem, RunError
from tunewell.records import Record, Step
from tunewell.runs.control import excluded
from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.folder import RunFolder
from tunewell.runs.row_history import read_epoch, read_rows, read_sealed, seal, written_epochs
from tunewell.runs.row_predictions import PREDICTED, Guess
from tunewell.runs.timeline import timeline

_LENGTHS, _ORDER = "lengths.bin", "order.bin"


class OrderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the order of batches follows from, beside the lengths of the rows."""

    version: int
    seed: int
    batch_size: int
    """Rows of an update."""
    max_tokens: int | None
    group_by_length: bool


class PointRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of an update."""

    row: int
    then: float | None
    """Its loss in that update; None: not written yet."""
    now: float | None
    """Its loss when it was trained on last."""
    share: float | None
    """Of the update's loss."""
    predicted_then: Guess | None
    predicted_now: Guess | None


class PointRows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of an update, those that made most of its loss first."""

    step: int
    cursor: int
    epoch: int
    rows: list[PointRow]


def write_order(folder: Path, lengths: Sequence[int], facts: OrderFacts) -> None:
    """Keep what the order of batches follows from in a run's ``rows/``."""
    with in_words("write the order of rows", folder):
        folder.mkdir(exist_ok=True)
        write_durably(folder / _LENGTHS, seal(array("q", lengths)))
        write_durably(folder / _ORDER, seal(array("B", msgspec.json.encode(facts))))


def order_of(lengths: npt.ArrayLike, facts: OrderFacts) -> BatchOrder:
    """Return the order of rows of these `lengths`."""
    return BatchOrder(
        lengths,
        seed=facts.seed,
        batch_size=facts.batch_size,
        max_tokens=facts.max_tokens,
        group_by_length=facts.group_by_length,
    )


def read_order(folder: Path) -> BatchOrder | None:
    """Return the order of a run's batches; None where it is not known, as of another version's run or another's loop."""
    lengths, facts = folder / _LENGTHS, folder / _ORDER
    if not (lengths.is_file() and facts.is_file()):
        return None
    text = read_sealed(facts, array("B")).tobytes()
    try:
        order = msgspec.json.decode(text, type=OrderFacts)
    except msgspec.DecodeError as error:
        raise RunError(Problem("run", f"{_ORDER} can't be read: {error}", str(facts))) from error
    if order.version != BatchOrder.VERSION:
        return None
    return order_of(np.array(read_sealed(lengths, array("q"))), order)


def rows_of_point(run: RunFolder, records: Sequence[Record], step: int) -> PointRows | None:
    """Return the rows that made update `step` of the run's present course, by its whole log.

    None where there is no such update, or the order of its rows is not known. Raises `RunError` for damaged files.
    """
    wanted = next((one for one in timeline(records) if isinstance(one, Step) and one.step == step), None)
    if wanted is None:
        return None
    before = takewhile(lambda record: record != wanted, records)  # a rollback gives no row back
    return rows_of_update(run, step, wanted.cursor, excluded(list(before)))


def rows_of_update(run: RunFolder, step: int, cursor: int, left_out: Collection[int]) -> PointRows | None:
    """Return the rows of the update `step` whose batch is that at `cursor`, those of `left_out` not in it.

    None where the order of the rows is not known. Raises `RunError` for damaged files. Of the epochs it reads as many as it
    takes: that of the update, and from the newest on until each row was seen.
    """
    order, ids = read_order(run.rows), read_rows(run.rows)
    if order is None or ids is None:
        return None
    places = [place for place in order.batch_at(cursor).tolist() if ids[place] not in left_out]
    epoch = int(order.epoch_at(cursor))
    losses, guesses = _Losses(run.rows, len(ids)), _Guesses(run.rows, len(ids))
    then = {place: losses.at(place, epoch) for place in places}
    total = sum(loss for loss in then.values() if loss is not None)
    found = [
        PointRow(
            row=ids[place],
            then=then[place],
            now=losses.newest(place),
            share=None if (loss := then[place]) is None or total <= 0 else loss / total,
            predicted_then=guesses.at(place, epoch),
            predicted_now=guesses.newest(place),
        )
        for place in places
    ]
    found.sort(key=lambda one: -(one.then if one.then is not None else -math.inf))
    return PointRows(step=step, cursor=cursor, epoch=epoch, rows=found)


class _Losses:
    """Losses of training rows by place, each epoch read when it is asked for."""

    def __init__(self, folder: Path, num_rows: int) -> None:
        self._folder, self._num_rows = folder, num_rows
        self._epochs = written_epochs(folder)
        self._read: dict[int, array[float]] = {}

    def at(self, place: int, epoch: int) -> float | None:
        """Return the loss in `epoch`; None: not written, not seen, or not finite."""
        loss = self._of(epoch)[place] if epoch in self._epochs else math.nan
        return loss if math.isfinite(loss) else None

    def newest(self, place: int) -> float | None:
        """Return the loss in the newest epoch in which the row was seen; None where that is not finite."""
        seen = (loss for epoch in reversed(self._epochs) if not math.isnan(loss := self._of(epoch)[place]))
        loss = next(seen, math.nan)
        return loss if math.isfinite(loss) else None

    def _of(self, epoch: int) -> array[float]:
        if epoch not in self._read:
            self._read[epoch] = read_epoch(self._folder, epoch, self._num_rows)
        return self._read[epoch]


class _Guesses:
    """What was predicted of training rows by place, each epoch read when it is asked for."""

    def __init__(self, folder: Path, num_rows: int) -> None:
        self._folder, self._num_rows = folder, num_rows
        self._epochs = written_epochs(folder, PREDICTED)
        self._read: dict[int, array[float]] = {}

    def at(self, place: int, epoch: int) -> Guess | None:
        """Return what was predicted in `epoch`; None: not written, or not seen."""
        if epoch not in self._epochs:
            return None
        if epoch not in self._read:
            self._read[epoch] = read_epoch(self._folder, epoch, self._num_rows, PREDICTED, width=2)
        predicted, probability = (self._read[epoch][place + k * self._num_rows] for k in range(2))
        if not math.isfinite(predicted):
            return None
        return Guess(None, predicted, probability if math.isfinite(probability) else None)

    def newest(self, place: int) -> Guess | None:
        """Return what was predicted in the newest epoch in which the row was seen."""
        return next((guess for epoch in reversed(self._epochs) if (guess := self.at(place, epoch))), None)

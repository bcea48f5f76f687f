"""Which rows made a point of a loss curve, and what they came to then and later.

The order of batches is a function of position: lengths of the training rows, the recipe's few numbers and a cursor give the
rows back. A run keeps the lengths in ``rows/lengths.bin`` and the numbers in ``rows/order.json``.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from tunewell.actions import ExcludeRows, IncludeRows
from tunewell.data.batches import BatchOrder
from tunewell.problems import Problem, RunError
from tunewell.records import Acted, Record, Step
from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.folder import RunFolder
from tunewell.runs.row_history import read_row_history, read_rows, read_sealed, seal
from tunewell.runs.row_predictions import Guess, read_predictions
from tunewell.runs.timeline import timeline

_LENGTHS, _ORDER = "lengths.bin", "order.json"


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
        write_durably(folder / _ORDER, msgspec.json.format(msgspec.json.encode(facts)))


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
    with in_words("read the order of rows", facts):
        text = facts.read_bytes()
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
    order, ids = read_order(run.rows), read_rows(run.rows)
    if wanted is None or order is None or ids is None:
        return None
    excluded = _excluded_before(records, wanted)
    rows = [ids[place] for place in order.batch_at(wanted.cursor).tolist() if ids[place] not in excluded]
    epoch = int(order.epoch_at(wanted.cursor))
    losses, predictions = read_row_history(run.rows), read_predictions(run.rows)
    known = {row: dict(predictions.of_training(row)) for row in rows}
    then = {row: _at(losses.get(row, []), epoch) for row in rows}
    total = sum(loss for loss in then.values() if loss is not None)
    found = [
        PointRow(
            row=row,
            then=then[row],
            now=next((_finite(loss) for loss in reversed(losses.get(row, [])) if not math.isnan(loss)), None),
            share=None if (loss := then[row]) is None or total <= 0 else loss / total,
            predicted_then=known[row].get(epoch),
            predicted_now=known[row][max(known[row])] if known[row] else None,
        )
        for row in rows
    ]
    found.sort(key=lambda one: -(one.then if one.then is not None else -math.inf))
    return PointRows(step=step, cursor=wanted.cursor, epoch=epoch, rows=found)


def _excluded_before(records: Sequence[Record], step: Step) -> set[int]:
    """Return the rows that were left out when `step` was made; a rollback gives none of them back."""
    excluded: set[int] = set()
    for record in records:
        if record == step:
            break
        if isinstance(record, Acted) and record.outcome == "applied":
            if isinstance(record.action, ExcludeRows):
                excluded.update(record.action.rows)
            elif isinstance(record.action, IncludeRows):
                excluded.difference_update(record.action.rows)
    return excluded


def _at(losses: Sequence[float], epoch: int) -> float | None:
    return _finite(losses[epoch]) if epoch < len(losses) else None


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None

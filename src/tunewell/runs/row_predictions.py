"""What was predicted of each row over time: of validation rows at each evaluation, of training rows in each epoch.

In ``rows/`` beside the losses, in the same form (`row_history`). ``validation.bin`` holds the ids of the validation rows,
``validation-00000310-300.bin`` what the evaluation at cursor 310 and step 300 said of them: loss, then what was predicted
(index of a class, or the number), then the probability of that class, each of all rows. ``predicted-0003.bin``: the last
two of the training rows, as they were when epoch 3 trained on them. NaN: not seen, or there is none. A cursor never
rewinds, so an evaluation that a rollback undid keeps its file; `timeline` tells which ones count.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.row_history import RowHistory, read_epochs, read_rows, read_sealed, seal

PREDICTED = "predicted"
"""Name of the history of training rows."""
_VALIDATION_IDS = "validation.bin"
_VALIDATION_NAME = re.compile(r"validation-(\d{8,})-(\d+)\.bin")


class Guess(msgspec.Struct, frozen=True):
    """What a model said of one row at one moment."""

    loss: float | None
    predicted: float | None
    """Index of a class in the order of `Eval.recalls`, or a number; None: not known."""
    probability: float | None
    """Of that class; None where there are no classes."""


class Evaluated(msgspec.Struct, frozen=True):
    """One evaluation on the validation rows, its numbers in the order of `Predictions.validation_rows`."""

    cursor: int
    step: int
    numbers: array[float]
    """(3 × rows,): losses, predictions, probabilities."""


class Predictions(msgspec.Struct, frozen=True):
    """All that a run's folder holds of what was predicted."""

    validation_rows: dict[int, int] = {}
    """Place of each validation row by its id."""
    evaluations: list[Evaluated] = []
    """In the order in which they were made."""
    training_rows: dict[int, int] = {}
    epochs: dict[int, array[float]] = {}
    """(2 × rows,) by epoch: predictions, probabilities."""

    def of_validation(self, row: int) -> list[tuple[int, int, Guess]]:
        """Return (cursor, step, guess) of each evaluation on a validation row; nothing where it is none."""
        place, count = self.validation_rows.get(row), len(self.validation_rows)
        if place is None:
            return []
        return [
            (one.cursor, one.step, Guess(*(_known(one.numbers[place + count * k]) for k in range(3))))
            for one in self.evaluations
        ]

    def of_training(self, row: int) -> list[tuple[int, Guess]]:
        """Return (epoch, guess) of each epoch in which a training row was seen; losses are in `read_row_history`."""
        place, count = self.training_rows.get(row), len(self.training_rows)
        if place is None:
            return []
        found = [
            (epoch, Guess(None, _known(numbers[place]), _known(numbers[place + count])))
            for epoch, numbers in sorted(self.epochs.items())
        ]
        return [(epoch, guess) for epoch, guess in found if guess.predicted is not None]


def history_of_predictions(folder: Path, rows: Sequence[int]) -> RowHistory:
    """Return what gathers the predictions of the training rows: `note(epoch, rows, predicted, probabilities)`."""
    return RowHistory(folder, rows, name=PREDICTED, width=2)


def write_rows(folder: Path, rows: Sequence[int]) -> None:
    """Write the ids of the validation rows, in the order of their split."""
    with in_words("write the validation rows", folder):
        folder.mkdir(exist_ok=True)
        write_durably(folder / _VALIDATION_IDS, seal(array("q", rows)))


def write_evaluation(
    folder: Path,
    cursor: int,
    step: int,
    losses: Sequence[float],
    predicted: Sequence[float] | None,
    probabilities: Sequence[float] | None,
) -> None:
    """Write what an evaluation said of each validation row; raises `RunError` where the disk refuses."""
    unknown = array("f", [math.nan]) * len(losses)
    numbers = array("f", losses)
    for column in (predicted, probabilities):
        numbers += unknown if column is None else array("f", column)
    path = folder / f"validation-{cursor:08d}-{step}.bin"
    with in_words("write what was predicted", path):
        write_durably(path, seal(numbers))


def forget_after(folder: Path, cursor: int) -> None:
    """Delete the evaluations behind `cursor`: a run that goes on from there makes them again."""
    with in_words("delete predictions to be made again", folder):
        for found, _, path in _evaluations(folder):
            if found > cursor:
                path.unlink()


def read_predictions(folder: Path) -> Predictions:
    """Return what was predicted of all rows; raises `RunError` naming a damaged file."""
    ids = folder / _VALIDATION_IDS
    validation = read_sealed(ids, array("q")).tolist() if ids.is_file() else []
    evaluations = [
        Evaluated(cursor, step, read_sealed(path, array("f"))) for cursor, step, path in _evaluations(folder)
    ]
    training = read_rows(folder) or []
    return Predictions(
        validation_rows={row: place for place, row in enumerate(validation)},
        evaluations=[one for one in evaluations if len(one.numbers) == 3 * len(validation)],
        training_rows={row: place for place, row in enumerate(training)},
        epochs={
            epoch: numbers
            for epoch, numbers in read_epochs(folder, PREDICTED).items()
            if len(numbers) == 2 * len(training)
        },
    )


def evaluations(folder: Path) -> list[tuple[int, int]]:
    """Return (cursor, step) of each evaluation that was written, oldest first."""
    return [(cursor, step) for cursor, step, _ in _evaluations(folder)]


def _evaluations(folder: Path) -> list[tuple[int, int, Path]]:
    matches = [(_VALIDATION_NAME.fullmatch(path.name), path) for path in folder.glob("validation-*.bin")]
    found = [(int(match[1]), int(match[2]), path) for match, path in matches if match]
    return sorted(found, key=lambda one: (one[0], one[2].stat().st_mtime_ns))


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None

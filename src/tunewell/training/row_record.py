"""What a run keeps of each row in ``rows/``: losses, what was predicted, and what the order of batches follows from."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tunewell.data.point_rows import write_order
from tunewell.runs import row_predictions
from tunewell.runs.folder import RunFolder
from tunewell.runs.row_history import RowHistory
from tunewell.training.evaluate import Outcome
from tunewell.training.loop import Update
from tunewell.training.setup import Prepared, order_facts


class RowRecord:
    """Gathers what training rows come to in each epoch, and writes what evaluations say of validation rows.

    What is gathered is part of the checkpoints. Predictions are those that the updates made anyway: of rows with one class
    or one number.
    """

    def __init__(self, prepared: Prepared, folder: RunFolder) -> None:
        self._prepared, self._folder = prepared, folder.rows
        encoded = prepared.splits["train"]
        self._ids, self._order = encoded.rows, prepared.work.order
        rows = [int(row) for row in encoded.rows]
        self._losses = RowHistory(folder.rows, rows)
        self._problem = prepared.dataset.problem
        self._predicted: RowHistory | None = None
        if self._problem in ("single_label", "regression"):
            self._predicted = row_predictions.history_of_predictions(folder.rows, rows)
        write_order(folder.rows, encoded.lengths.tolist(), order_facts(prepared.recipe))
        if "validation" in prepared.splits:
            row_predictions.write_rows(folder.rows, prepared.splits["validation"].rows.tolist())

    def note(self, update: Update, losses: np.ndarray) -> None:
        """Keep what the rows of an update came to; raises `RunError` where the disk refuses, and keeps it anyway."""
        epoch, rows = int(self._order.epoch_at(update.cursor)), self._ids[update.rows].tolist()
        if self._predicted is not None and update.outputs is not None:
            self._predicted.note(epoch, rows, *_guesses(update.outputs, self._problem))
        self._losses.note(epoch, rows, losses.tolist())

    def evaluated(self, step: int, cursor: int, outcome: Outcome) -> None:
        """Write what an evaluation says of the validation rows, and the epoch under way as it stands, for views.

        Raises `RunError` where the disk refuses.
        """
        predicted = None if outcome.predicted is None else outcome.predicted.tolist()
        probabilities = None if outcome.confidence is None else outcome.confidence.tolist()
        row_predictions.write_evaluation(
            self._folder, cursor, step, outcome.row_losses.tolist(), predicted, probabilities
        )
        self.write()

    def write(self) -> None:
        """Write the epoch under way as it stands; at the end of a run the last one may be a part."""
        self._losses.write()
        if self._predicted is not None:
            self._predicted.write()

    def pack(self) -> tuple[bytes, bytes]:
        """Return losses and predictions of the epoch under way, for a checkpoint."""
        return self._losses.pack(), b"" if self._predicted is None else self._predicted.pack()

    def unpack(self, losses: bytes, predicted: bytes, cursor: int) -> None:
        """Go back to what `pack` returned at `cursor`, bit for bit; later files are deleted."""
        if losses:
            self._losses.unpack(losses)
        if self._predicted is not None and predicted:
            self._predicted.unpack(predicted)
        row_predictions.forget_after(self._folder, cursor)


def _guesses(outputs: Tensor, problem: str) -> tuple[list[float], list[float]]:
    """Return what is predicted of each row, and the probability of that; NaN where there is none."""
    outputs = outputs.detach().float()
    if problem == "regression":
        numbers: list[float] = outputs[:, 0].tolist()
        return numbers, [float("nan")] * len(numbers)
    surest = outputs.softmax(1).max(1)
    return surest.indices.tolist(), surest.values.tolist()

"""The rows of a run reviewed at the end of each epoch: which targets the model says are probably wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import msgspec
import numpy as np

from tunewell.data.beforehand import numbers_said_of_examples, said_of_examples
from tunewell.data.number_review import NumberReview
from tunewell.data.row_review import RowReview, is_due
from tunewell.inspections import RowsReviewed
from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.folder import RunFolder
from tunewell.training.loop import Update
from tunewell.training.setup import Prepared

FILE = "review.csv"
COLUMNS = ("row", "place", "confidence", "given", "suggested", "reasons", "text", "text_pair")


class Reviewing:
    """Follows how the model takes each training row where a row has one class or number; of other tasks it does nothing."""

    def __init__(self, prepared: Prepared, folder: RunFolder) -> None:
        self._prepared, self._folder = prepared, folder
        self._encoded = prepared.splits["train"]
        self._epoch = 0
        """Epochs that are over and reviewed."""
        self._review: RowReview | NumberReview | None = None
        if prepared.dataset.problem == "regression":
            train = prepared.dataset.splits["train"]
            self._review = NumberReview(
                self._encoded.rows, self._encoded.targets, lambda: numbers_said_of_examples(train)
            )
        elif prepared.dataset.problem == "single_label" and len(prepared.dataset.labels) > 1:
            self._review = RowReview(
                self._encoded.rows, self._encoded.targets, prepared.dataset.labels, self._said
            )

    def note(self, update: Update) -> None:
        """Take in how the model took the rows of an update."""
        match self._review:
            case RowReview() if update.outputs is not None:
                self._review.note(update.rows, update.outputs.float().cpu().numpy())
            case NumberReview():
                self._review.note_losses(update.rows, update.per_row.float().cpu().numpy())

    def ended(self, step: int, epoch: float) -> Iterator[RowsReviewed]:
        """Yield the review of each epoch that is due and over once `epoch` passes are done, written to the run's folder."""
        while self._review is not None and self._epoch < int(epoch + 1e-9):
            self._epoch += 1
            if not is_due(self._epoch):
                continue
            found = self._review.review(step, self._epoch)
            yield msgspec.structs.replace(found, file=FILE if self._write(found) else "")

    def _said(self) -> list[np.ndarray]:
        """Return what simple models say of the rows; it follows from the data alone, so that no checkpoint holds it."""
        dataset = self._prepared.dataset
        return said_of_examples(dataset.splits["train"], dataset.labels)

    def pack(self) -> bytes:
        """Return the history of the rows, for a checkpoint."""
        return b"" if self._review is None else self._review.pack()

    def unpack(self, packed: bytes, epoch: float) -> None:
        """Go back to what `pack` returned after `epoch` passes; nothing: the rows' history begins here."""
        self._epoch = int(epoch + 1e-9)
        if self._review is not None and packed:
            self._review.unpack(packed)

    def _write(self, found: RowsReviewed) -> bool:
        """Write the suspects with their texts, surest first; return whether there are any."""
        if not found.suspects:
            return False
        places = {int(row): place for place, row in enumerate(self._encoded.rows)}
        examples = self._prepared.dataset.splits["train"]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for one in found.suspects:
            example = examples[places[one.row]]
            reasons = " ".join(one.reasons)
            about = (one.row, example.place, f"{one.confidence:.3f}", one.given, one.suggested, reasons)
            writer.writerow((*about, example.text, example.text_pair or ""))
        path = self._folder.path / FILE
        with in_words("write the rows to be reviewed", path):
            write_durably(path, text.getvalue().encode())
        return True

"""The learning history of single rows in somebody else's loop: which targets are probably wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewell.data.beforehand import numbers_said_of_arrays, said_of_arrays
from tunewell.data.number_review import NumberReview
from tunewell.data.row_review import RowReview, is_due
from tunewell.data.token_review import TokenReview
from tunewell.inspections import RowsReviewed
from tunewell.integrations.given_rows import GivenRows
from tunewell.integrations.measure import to_numpy
from tunewell.integrations.update import MicroBatch, Update


class RowsLearned:
    """Gathers what the model says of each training row as it is trained on, and reviews it after some of the epochs."""

    def __init__(self, given: GivenRows, class_names: Sequence[str]) -> None:
        self._count = len(given)
        self._trained = 0
        self._review: RowReview | NumberReview | TokenReview | None = None
        if given.classes is not None and len(given.classes):
            count = max(len(class_names), int(given.classes.max()) + 1)
            names = [*class_names, *(str(label) for label in range(len(class_names), count))]
            inputs, classes = given.inputs, given.classes
            self._review = RowReview(
                np.arange(self._count), classes, names, lambda: said_of_arrays(inputs, classes, count)
            )
            self._classes = count
        elif (numbers := given.numbers) is not None:
            self._review = NumberReview(
                np.arange(self._count), numbers, lambda: numbers_said_of_arrays(given.inputs, numbers)
            )
        elif given.are_tokens:
            self._review = TokenReview(np.arange(self._count))

    def note(self, update: Update) -> RowsReviewed | None:
        """Keep what an update showed of its rows; return what it comes to if the update ended an epoch."""
        before = self._trained // max(1, self._count)
        for one in update.passes:
            if self._review is None or one.rows is None or not self._noted(one):
                return None
            self._trained += len(one.rows)
        epoch = self._trained // max(1, self._count)
        if self._review is None or epoch == before or not is_due(epoch):
            return None
        return self._review.review(update.step, epoch)

    def _noted(self, one: MicroBatch) -> bool:
        """Keep what a micro-batch showed of its rows; return whether it showed anything."""
        rows = np.asarray(one.rows)
        match self._review:
            case RowReview():
                logs = None if one.seen is None else one.seen.log_probabilities
                if logs is None or logs.shape != (len(rows), self._classes):
                    return False
                self._review.note(rows, to_numpy(logs))
            case NumberReview():
                if one.row_losses is None or one.row_losses.shape != (len(rows),):
                    return False
                self._review.note_losses(rows, to_numpy(one.row_losses))
            case TokenReview():
                seen = one.seen
                if seen is None or seen.log_probabilities is None or seen.losses.numel() % max(1, len(rows)):
                    return False
                if len(rows) != one.row_count or float(seen.count) != float(seen.counts.sum()):
                    return False  # weighted: the losses are no probabilities
                shape = (len(rows), -1)
                losses, targets, counts = (
                    to_numpy(tensor.reshape(shape)) for tensor in (seen.losses, seen.targets, seen.counts)
                )
                self._review.note_tokens(rows, losses, targets, counts)
        return True

"""Which rows come next, where a loop asks: without those that were excluded, drawn anew where that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np


class RowOrder:
    """Hands on a loop's own batches of row ids, and changes them only after an action."""

    def __init__(self, num_rows: int | None, classes: np.ndarray | None) -> None:
        """`num_rows` of the training data, where it is known; `classes` (rows,) of its rows, where they have some."""
        self.excluded: set[int] = set()
        self.shuffles = False
        self.balances = False
        self.balanced_batches: int | None = None
        """Batches in which each class is drawn alike before rows come as they stand again; None: all of them."""
        self.can_correct: Callable[[], bool] = lambda: False
        """Whether the loss can be corrected for how common classes are, in place of drawing them alike."""
        self.is_used = False
        self.first_batches: list[list[int]] = []
        self._num_rows, self._classes = num_rows, classes
        self._seen: dict[int, int | None] = {}
        self._drawn: list[int] = []
        self._random = np.random.default_rng(0)  # its own: the training's random numbers stay what they are

    def batches(self, order: Iterable[Sequence[int]]) -> Iterator[list[int]]:
        """Yield the batches of `order` as they are to be trained on; one of which nothing is left is passed over."""
        self.is_used = True
        if isinstance(order, Sequence) and not self.first_batches:
            self.first_batches = [[int(row) for row in rows] for rows in order]
        for rows in order:
            given = [int(row) for row in rows]
            for row in given:
                self._seen.setdefault(row, None)
            if self.shuffles or self.draws_balanced:
                given = self._draw(len(given))
            if self.balanced_batches:
                self.balanced_batches -= 1
            kept = [row for row in given if row not in self.excluded]
            if kept:
                yield kept

    def note_classes(self, rows: Sequence[int], classes: Sequence[int]) -> None:
        """Remember the classes of rows as they were trained on."""
        self._seen.update(zip(rows, classes, strict=False))

    def known(self) -> range | None:
        """Return the ids of the training rows; None where nobody said how many there are."""
        return None if self._num_rows is None else range(self._num_rows)

    @property
    def has_classes(self) -> bool:
        """Whether rows can be drawn by class."""
        return self._classes is not None or any(label is not None for label in self._seen.values())

    @property
    def draws_balanced(self) -> bool:
        """Whether the coming batch draws each class alike."""
        return self.balances and (self.balanced_batches != 0 or not self.can_correct())

    def class_counts(self) -> np.ndarray:
        """Return (classes,) numbers of the rows that can be drawn, by class."""
        labels = [self._label(row) for row in self._pool()]
        return np.bincount([label for label in labels if label is not None and label >= 0])

    def _label(self, row: int) -> int | None:
        return int(self._classes[row]) if self._classes is not None else self._seen.get(row)

    def _draw(self, count: int) -> list[int]:
        if self.draws_balanced:
            return self._draw_balanced(count)
        while len(self._drawn) < count:
            pool = self._pool()
            if not pool:
                return []
            self._drawn += [pool[place] for place in self._random.permutation(len(pool))]
        drawn, self._drawn = self._drawn[:count], self._drawn[count:]
        return drawn

    def _draw_balanced(self, count: int) -> list[int]:
        by_class: dict[int, list[int]] = {}
        for row in self._pool():
            label = self._label(row)
            if label is not None:
                by_class.setdefault(label, []).append(row)
        if not by_class:
            return []
        groups = list(by_class.values())
        chosen = [groups[place] for place in self._random.integers(len(groups), size=count)]
        return [rows[self._random.integers(len(rows))] for rows in chosen]

    def _pool(self) -> list[int]:
        rows = range(self._num_rows) if self._num_rows is not None else sorted(self._seen)
        if self._num_rows is None and self.first_batches:
            rows = sorted({row for batch in self.first_batches for row in batch} | set(rows))
        return [row for row in rows if row not in self.excluded]

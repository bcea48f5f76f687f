"""How the model took each training row, visit by visit: a few numbers a row, whatever the number of epochs."""

from __future__ import annotations

import numpy as np

from tunewell.data.checked_rows import Array

_ROW = np.dtype(
    [
        ("visits", "<i4"),
        ("given", "<f4"),
        ("other", "<f4"),
        ("other_class", "<i4"),
        ("margins", "<f4"),
        ("first_margin", "<f4"),
        ("strange_margins", "<f4"),
        ("rival", "<i4"),
        ("votes", "<f4"),
        ("was_right", "<i1"),
        ("forgotten", "<i2"),
        ("learned_at", "<i2"),
    ]
)
"""Of a row: its visits; at its first visit, when nothing had been learned from it, the log-probabilities of the given class
and of the likeliest other, and which that was; the sum of its margins and the first of them; the sum of the margins that a surely
wrong target would have had; the class most often preferred to the given one, and by how much; whether it was right last
time; how often it was right and then wrong; the visit at which it was first right (0: never)."""
_CLIP = 10.0
"""Largest margin that counts, in nats: one visit must not decide."""
_UNKNOWN = -1


class History:
    """The learning history of rows of `count` classes; `classes`, (rows,), are the given ones, below 0 for none."""

    def __init__(self, classes: Array, count: int) -> None:
        self.classes, self.count = np.asarray(classes, dtype=np.int64), count
        self.rows = np.zeros(len(classes), dtype=_ROW)

    def note(self, positions: Array, outputs: Array) -> None:
        """Keep the logits or log-probabilities, (batch, classes), of the rows at `positions`, (batch,)."""
        positions = np.asarray(positions, dtype=np.int64)
        usable = np.isfinite(outputs).all(axis=1) & (self.classes[positions] >= 0)
        positions, outputs = positions[usable], np.asarray(outputs, dtype=np.float64)[usable]
        if not len(positions) or outputs.shape[1] < 2:
            return
        each, given = np.arange(len(positions)), self.classes[positions]
        outputs = outputs - outputs.max(axis=1, keepdims=True)
        outputs -= np.log(np.exp(outputs).sum(axis=1, keepdims=True))
        # The surely wrong target is any other class, the same at every visit of a row.
        strange = (given + 1 + positions % (outputs.shape[1] - 1)) % outputs.shape[1]
        strange_margin = _margin(outputs, strange)[0]
        margin, other = _margin(outputs, given)
        self._keep(positions, outputs[each, given], outputs[each, other], other, margin, strange_margin)

    def note_losses(self, positions: Array, losses: Array) -> None:
        """Keep the losses, (batch,): −log p of the given class, where no more is known of the model's answer."""
        positions, losses = np.asarray(positions, dtype=np.int64), np.asarray(losses, dtype=np.float64)
        usable = np.isfinite(losses) & (self.classes[positions] >= 0)
        positions, losses = positions[usable], np.maximum(losses[usable], 1e-6)
        if not len(positions) or self.count < 2:
            return
        two = self.count == 2
        other = 1 - self.classes[positions] if two else np.full(len(positions), _UNKNOWN)
        likelihood = np.log(-np.expm1(-losses) / (self.count - 1))
        margin = -losses - likelihood
        self._keep(positions, -losses, likelihood, other, margin, -margin)

    def _keep(
        self, positions: Array, given: Array, other_logs: Array, other: Array, margin: Array, strange: Array
    ) -> None:
        rows = self.rows[positions]
        first = rows["visits"] == 0
        margin, strange = np.clip(margin, -_CLIP, _CLIP), np.clip(strange, -_CLIP, _CLIP)
        for name, value in (
            ("given", given),
            ("other", other_logs),
            ("other_class", other),
            ("first_margin", margin),
        ):
            rows[name] = np.where(first, value, rows[name])
        rows["visits"] += 1
        rows["margins"] += margin
        rows["strange_margins"] += strange
        preferred = np.maximum(-margin, 0)
        votes = np.where(rows["rival"] == other, rows["votes"] + preferred, rows["votes"] - preferred)
        replaced = first | (votes < 0)
        rows["rival"] = np.where(replaced, other, rows["rival"])
        rows["votes"] = np.where(first, preferred, np.abs(votes))
        right = margin > 0
        rows["forgotten"] += (rows["was_right"] == 1) & ~right
        begins = (rows["learned_at"] == 0) & right
        rows["learned_at"] = np.where(begins, np.minimum(rows["visits"], 32_767), rows["learned_at"])
        rows["was_right"] = right
        self.rows[positions] = rows

    def first_visits(self, positions: Array) -> Array:
        """Return the log-probabilities of the classes at the rows' first visits, (n, classes).

        Of the classes beside the given and the likeliest other it is only known what they have together.
        """
        rows, each = self.rows[positions], np.arange(len(positions))
        rest = np.clip(1 - np.exp(rows["given"]) - np.exp(rows["other"]), 1e-9, 1)
        found = np.repeat(np.log(rest / max(1, self.count - 2))[:, None], self.count, axis=1)
        known = rows["other_class"] >= 0
        found[each[known], rows["other_class"][known]] = rows["other"][known]
        found[~known] = rows["other"][~known, None]
        found[each, self.classes[positions]] = rows["given"]
        result: Array = np.maximum(found, -_CLIP)
        return result

    def mean_margins(self, positions: Array) -> Array:
        """Return the areas under the margin (AUM), (n,): the mean over visits of how far the given class is ahead."""
        rows = self.rows[positions]
        result: Array = rows["margins"] / np.maximum(rows["visits"], 1)
        return result

    def strange_margins(self, positions: Array) -> Array:
        """Return the same of a surely wrong target, (n,)."""
        rows = self.rows[positions]
        result: Array = rows["strange_margins"] / np.maximum(rows["visits"], 1)
        return result

    def later_margins(self, positions: Array) -> Array:
        """Return the mean margin of the visits after the first, (n,); nan where there was none."""
        rows = self.rows[positions]
        later = rows["visits"] - 1
        total = rows["margins"] - rows["first_margin"]
        result: Array = np.where(later > 0, total / np.maximum(later, 1), np.nan)
        return result

    def pack(self) -> bytes:
        """Return everything, for a checkpoint."""
        return self.rows.tobytes()

    def unpack(self, packed: bytes) -> None:
        """Go back to what `pack` returned, bit for bit."""
        assert len(packed) == self.rows.nbytes, "packed for other rows"
        self.rows = np.frombuffer(packed, dtype=_ROW).copy()


def _margin(logs: Array, classes: Array) -> tuple[Array, Array]:
    """Return how far each row's class, (batch,), is ahead of the best other one, and which that is."""
    each = np.arange(len(classes))
    others = logs.copy()
    others[each, classes] = -np.inf
    best = others.argmax(axis=1)
    return logs[each, classes] - logs[each, best], best

"""Which rows' targets are probably wrong where targets are numbers.

A model that did not see a row misses a right target by its usual error, and a wrong one, which belongs to another row, by
whatever lies between the two: a wrong target is as likely as it is among all targets. The share of wrong ones and the
usual error are those under which the targets are likeliest, and Bayes' rule gives each row's probability. Right
targets with rare large errors look much the same, so the mixture must explain the errors better than a Student t
does, whose tails are as heavy as they need to be. How the rows' losses fared later counts as in `row_review`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from tunewell.data.checked_rows import Array
from tunewell.data.row_review import MOST_SUSPECTS, best_cut, with_later
from tunewell.inspections import RowsReviewed, Suspect

_ROW = np.dtype([("visits", "<i4"), ("first", "<f4"), ("logs", "<f4")])
"""Of a row: its visits, the logarithm of its first loss, and the sum of those of all its losses."""
_FEWEST = 100
_LEAST_EVIDENCE = 4.0
"""Twice the log-likelihood ratio to a Student t from which wrong targets are believed in. Measured on nine clean
sets of numbers, with normal, heavy-tailed and uneven errors: -526 to 0.3."""
_FREEDOMS = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0, 200.0)
_LEAST_CONFIDENCE = 1 / 3


class NumberReview:
    """The learning history of the training rows of a regression, and what it says of their targets.

    `rows` are their ids, `targets`, (rows,), numbers. `beforehand` gives what models trained without a row say of its
    number, (rows,), or None; it is called once, at the first review.
    """

    def __init__(
        self,
        rows: Sequence[int] | Array,
        targets: Sequence[float] | Array,
        beforehand: Callable[[], Array | None],
    ) -> None:
        self._ids = np.asarray(rows, dtype=np.int64)
        self._targets = np.asarray(targets, dtype=np.float64)
        self._beforehand = beforehand
        self._told: Array | None = None
        self._history = np.zeros(len(self._ids), dtype=_ROW)

    def note_losses(self, positions: Array, losses: Array) -> None:
        """Keep the losses, (batch,), of the rows at `positions`, (batch,), before the update."""
        finite = np.isfinite(losses)
        positions, logs = positions[finite], np.log(np.maximum(losses[finite], 1e-12))
        rows = self._history[positions]
        rows["first"] = np.where(rows["visits"] == 0, logs, rows["first"])
        rows["visits"] += 1
        rows["logs"] += logs
        self._history[positions] = rows

    def pack(self) -> bytes:
        """Return the whole history, for a checkpoint."""
        return self._history.tobytes()

    def unpack(self, packed: bytes) -> None:
        """Go back to what `pack` returned, bit for bit."""
        assert len(packed) == self._history.nbytes, "packed for other rows"
        self._history = np.frombuffer(packed, dtype=_ROW).copy()

    def review(self, step: int, epoch: int) -> RowsReviewed:
        """Return the rows whose target is probably wrong, surest first."""
        seen = np.flatnonzero((self._history["visits"] > 0) & np.isfinite(self._targets))
        found = RowsReviewed(
            time=time.time(), step=step, epoch=epoch, rows=len(seen), suspects=[], expected=0.0
        )
        told = self._said()
        if told is None or len(seen) < _FEWEST or float(self._targets[seen].std()) == 0:
            return found
        knows = float(np.corrcoef(told[seen], self._targets[seen])[0, 1]) > 5 / math.sqrt(len(seen))
        if not knows:
            return found
        wrong, evidence = judged(self._targets[seen], told[seen])
        if evidence < _LEAST_EVIDENCE:
            return msgspec.structs.replace(found, estimate=0.0)
        confidence = with_later(wrong, self._later(seen))
        chosen = np.flatnonzero(confidence >= max(_LEAST_CONFIDENCE, best_cut(confidence)))
        chosen = chosen[np.argsort(-confidence[chosen], kind="stable")]
        suspects = [
            Suspect(
                row=int(self._ids[seen[i]]),
                confidence=round(float(confidence[i]), 4),
                given=f"{self._targets[seen[i]]:.4g}",
                suggested=f"{told[seen[i]]:.4g}",
                reasons=["confident_learning"] if wrong[i] >= _LEAST_CONFIDENCE else ["margin"],
            )
            for i in chosen[:MOST_SUSPECTS].tolist()
        ]
        return RowsReviewed(
            time=found.time,
            step=step,
            epoch=epoch,
            rows=len(seen),
            suspects=suspects,
            expected=round(float((1 - confidence[chosen]).sum()), 2),
            estimate=round(float(wrong.mean()), 4),
        )

    def _said(self) -> Array | None:
        if self._told is None:
            self._told = self._beforehand()
        return self._told

    def _later(self, seen: Array) -> Array:
        """Return minus the mean logarithm of the losses after the first visit, (n,): larger is better."""
        rows = self._history[seen]
        later = rows["visits"] - 1
        result: Array = np.where(later > 0, (rows["first"] - rows["logs"]) / np.maximum(later, 1), np.nan)
        return result


def judged(targets: Array, told: Array) -> tuple[Array, float]:
    """Return the probability that each of the `targets`, (n,), is wrong, beside what was `told` of it, (n,).

    And twice the logarithm of how much likelier the errors are with some wrong targets than with heavy tails.
    """
    spread = float(targets.std())
    errors, place = (targets - told) / spread, (targets - targets.mean()) / spread
    among_all = -(place**2) / 2
    variance, rate = max(1e-6, 2.2 * float(np.median(np.abs(errors))) ** 2), 0.1
    wrong = np.zeros(len(errors))
    for _ in range(100):
        right = math.log(1 - rate) - errors**2 / (2 * variance) - 0.5 * math.log(variance)
        other = math.log(rate) + among_all
        wrong = 1 / (1 + np.exp(np.clip(right - other, -50, 50)))
        rate = min(0.9, max(1e-6, float(wrong.mean())))
        variance = max(1e-6, float(((1 - wrong) * errors**2).sum() / (1 - wrong).sum()))
    likelihood = float(np.logaddexp(right, other).sum()) - 0.5 * math.log(2 * math.pi) * len(errors)
    return wrong, 2 * (likelihood - max(_student(errors, freedom) for freedom in _FREEDOMS))


def _student(errors: Array, freedom: float) -> float:
    """Return the log-likelihood of `errors` under a Student t of the likeliest width."""
    squares = errors**2
    variance = max(1e-6, float(np.median(squares)))
    for _ in range(50):
        variance = max(1e-9, float(((freedom + 1) / (freedom + squares / variance) * squares).mean()))
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    constant -= 0.5 * math.log(freedom * math.pi * variance)
    tails = (freedom + 1) / 2 * np.log1p(squares / (freedom * variance))
    return constant * len(errors) - float(tails.sum())

"""Which rows' targets are probably wrong where targets are sequences of tokens.

What the loss of a row may be is bounded: if a row's tokens were drawn as the model says, then the likelihood ratio of
any other fixed model to it has an expected value of 1, so that e^k or more happens once in e^k rows at most (Ville,
1939). The other model is that of guessing, each token as often as it is found in all targets: a row that is hard, or
can't be told at all, costs what guessing costs, and only one that is contradicted costs more. The share of rows whose
targets belong to nothing is the one under which the ratios are likeliest.

That test names few rows and hardly a wrong one: parts of a wrong target (its end, its form) may be as foreseen. Where it
shows that there are wrong targets, the others are found beside them: right rows fall together while the model
learns, and wrong ones stay (Arazo et al., 2019, arXiv:1904.11238). Two groups are believed in if there is a valley
between them and the upper one costs about what guessing costs.
"""

from __future__ import annotations

import time

import msgspec
import numpy as np

from tunewell.data.checked_rows import Array
from tunewell.data.mixtures import log_normal, normal
from tunewell.data.row_review import MOST_SUSPECTS, best_cut
from tunewell.inspections import RowsReviewed, Suspect

_ROW = np.dtype([("visits", "<i4"), ("beyond", "<f8"), ("losses", "<f8"), ("guessed", "<f8")])
"""Of a row, over its visits to a model that knew something: how many, and the sums of the logarithm of its loss beside that
of rows of the same time, of its losses, and of what guessing costs."""
_FEWEST = 100
_NEIGHBOURS = 256
"""Rows of the same time that a row is compared with: the model learns meanwhile."""
_KNOWS = 0.8
"""Loss beside guessing below which the model knows something that can be contradicted."""
_LEAST_EVIDENCE = 10.0
"""Twice the log-likelihood ratio to "no target is wrong" from which wrong ones are believed in. Healthy runs: below 0.1."""
_VALLEY = 2.0
"""Ashman's D (Ashman et al., 1994) from which two groups are two."""
_AS_GUESSING = 0.85
"""Loss beside guessing that the upper group has at least."""
_LEAST_CONFIDENCE = 1 / 3
_MOST_NATS = 30.0


class TokenReview:
    """The learning history of training rows whose targets are tokens, and what it says of them; `rows` are their ids."""

    def __init__(self, rows: Array) -> None:
        self._ids = np.asarray(rows, dtype=np.int64)
        self._history = np.zeros(len(self._ids), dtype=_ROW)
        self._frequency = np.zeros(0)
        self._waiting: list[tuple[Array, Array, Array]] = []
        self._known = False
        self._evidence, self._rate = 0.0, 0.0
        self._wrong = np.zeros(len(self._ids))

    def note_tokens(self, positions: Array, losses: Array, targets: Array, counts: Array) -> None:
        """Keep the losses in nats, (batch, tokens), of the rows at `positions`, (batch,), before the update.

        `targets`, (batch, tokens), are the tokens, and `counts`, bool of the same shape, which of them count.
        """
        if counts.any():
            found = np.bincount(targets[counts], minlength=len(self._frequency)).astype(np.float64)
            found[: len(self._frequency)] += self._frequency
            self._frequency = found
        usual = (self._frequency + 1) / (self._frequency.sum() + len(self._frequency))
        guessed = (-np.log(usual[np.where(counts, targets, 0)]) * counts).sum(axis=1)
        row_losses = np.where(counts, losses, 0.0).sum(axis=1)
        usable = np.isfinite(row_losses) & (guessed > 0)
        self._waiting.append((positions[usable], row_losses[usable], guessed[usable]))
        if sum(len(waiting[0]) for waiting in self._waiting) >= len(self._ids):
            self._settle()

    def review(self, step: int, epoch: int) -> RowsReviewed:
        """Return the rows whose target is probably wrong, surest first."""
        self._settle()
        seen = np.flatnonzero(self._history["visits"])
        found = RowsReviewed(
            time=time.time(), step=step, epoch=epoch, rows=len(seen), suspects=[], expected=0.0
        )
        if not self._known or len(seen) < _FEWEST:
            return found
        if self._evidence < _LEAST_EVIDENCE:
            return msgspec.structs.replace(found, estimate=0.0)
        confidence = self._beside(seen)
        estimate = self._rate if confidence is None else float(confidence.mean())
        confidence = self._wrong[seen] if confidence is None else confidence
        chosen = np.flatnonzero(confidence >= max(_LEAST_CONFIDENCE, best_cut(confidence)))
        chosen = chosen[np.argsort(-confidence[chosen], kind="stable")]
        suspects = [
            Suspect(
                row=int(self._ids[seen[i]]), confidence=round(float(confidence[i]), 4), reasons=["margin"]
            )
            for i in chosen[:MOST_SUSPECTS].tolist()
        ]
        return msgspec.structs.replace(
            found,
            suspects=suspects,
            expected=round(float((1 - confidence[chosen]).sum()), 2),
            estimate=round(estimate, 4),
        )

    def _settle(self) -> None:
        """Take in what has been noted since the last time: about an epoch, of which rows are compared as they came."""
        if not self._waiting:
            return
        positions, losses, guessed = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting = []
        if len(positions) < _FEWEST:
            return
        known = _around(losses) / _around(guessed) < _KNOWS
        logs = np.log(np.maximum(losses, 1e-6) / guessed)
        beyond = logs - _median_around(logs)
        sums = {"visits": np.ones(len(known)), "beyond": beyond, "losses": losses, "guessed": guessed}
        for name, values in sums.items():
            np.add.at(self._history[name], positions[known], values[known].astype(_ROW[name]))
        if int(known.sum()) < _FEWEST:
            return
        self._known = True
        wrong, rate, evidence = contradicted((losses - guessed)[known])
        if evidence > self._evidence:
            self._evidence, self._rate = evidence, rate
            self._wrong[positions[known]] = wrong

    def _beside(self, seen: Array) -> Array | None:
        """Return the probability that each row is of the upper of two groups, (n,); None: there are no two."""
        rows = self._history[seen]
        beyond = rows["beyond"] / rows["visits"]
        upper = self._wrong[seen]
        if not 1.0 <= upper.sum() < len(seen) - 1.0:
            return None
        found = groups(beyond, upper)
        if found is None or found.sum() < 1.0:
            return None
        beside = float((found * rows["losses"]).sum() / (found * rows["guessed"]).sum())
        return found if beside >= _AS_GUESSING else None


def contradicted(nats: Array) -> tuple[Array, float, float]:
    """Return the probability that each row's targets are wrong, (n,), their share, and the evidence for it.

    `nats`, (n,), is what the row costs beyond guessing. The evidence is twice the logarithm of how much likelier the
    losses are with that share than without any.
    """
    ratios, rate = np.exp(np.clip(nats, -_MOST_NATS, _MOST_NATS)), 0.1
    wrong = np.zeros(len(nats))
    for _ in range(100):
        wrong = rate * ratios / (rate * ratios + 1 - rate)
        rate = min(0.9, max(1e-9, float(wrong.mean())))
    return wrong, rate, 2 * float(np.log1p(rate * (ratios - 1)).sum())


def groups(values: Array, upper: Array) -> Array | None:
    """Return the probability that each of `values`, (n,), is of the upper of two normal groups; None: no valley.

    `upper`, (n,), is where the search begins.
    """
    for _ in range(100):
        low, low_width = normal(values, 1 - upper)
        high, high_width = normal(values, upper)
        if low >= high:
            return None
        rate = float(np.clip(upper.mean(), 1e-6, 1 - 1e-6))
        inside = np.clip(values, low, high)  # beyond the means a value says no more than they do
        odds = np.log(rate / (1 - rate)) + log_normal(inside, high, high_width)
        odds -= log_normal(inside, low, low_width)
        upper = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    apart = np.sqrt(2) * (high - low) / np.hypot(low_width, high_width)
    return upper if apart >= _VALLEY else None


def _around(values: Array) -> Array:
    """Return the sum over each value's neighbours, (n,)."""
    half = _NEIGHBOURS // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    result: Array = sums[np.minimum(len(values), places + half)] - sums[np.maximum(0, places - half)]
    return result


def _median_around(values: Array) -> Array:
    """Return the median of the values around each, (n,), measured every few places."""
    half, every = _NEIGHBOURS // 2, _NEIGHBOURS // 8
    places = np.arange(0, len(values) + every, every)
    medians = [
        float(np.median(values[max(0, at - half) : max(half, at + half)]))
        for at in places.clip(0, len(values) - 1)
    ]
    result: Array = np.interp(np.arange(len(values)), places, medians)
    return result

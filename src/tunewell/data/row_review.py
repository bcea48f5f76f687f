"""Which rows' targets are probably wrong, from how the model took each of them while it learned.

Three kinds of evidence, of which none has seen the target that it judges, or not for long:

- what simple models, trained without the row, say of it, and what the model itself said at the row's first visit, before
  it had learned anything from it. `noise_model` makes probabilities of both, and says how many targets are wrong.
- how the row fared later. Wrong targets are learned late and kept badly: their margin over all visits is small (AUM,
  Pleiss et al., 2020, arXiv:2001.10528). AUM finds its threshold with rows that are given a class that does not exist;
  a fixed head has none, and to swap targets would spoil the training. So each visit also takes the margin that a surely
  wrong class would have had in the same outputs, which costs nothing; `margin` among the reasons means that the
  row's own mean margin looks more like those than like the others'.
- whether it was forgotten after it was right (Toneva et al., 2019, arXiv:1812.05159), or is right later than most.

Confident learning by cleanlab (Northcutt et al., 2021) takes the same probabilities and gives its opinion among the
reasons; its own counts take the confidence of hard rows for what it says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from tunewell.data.checked_rows import Array
from tunewell.data.mixtures import log_normal, normal
from tunewell.data.noise_model import NoiseModel, fit_noise
from tunewell.data.row_history import History
from tunewell.inspections import RowsReviewed, Suspect

MOST_SUSPECTS = 5_000
_FEWEST = 40
"""Rows below which nothing is estimated."""
_FEWEST_OF_CLASS = 20
"""Rows of a class below which no model learns what it looks like, so that all of them would be contradicted."""
_LEAST_EVIDENCE = 4.0
"""Twice the log-likelihood ratio from which wrong targets are believed in: one sound set in 45 reaches it, and then
with a rate that is far from 0 only where the models know little."""
_LEAST_CONFIDENCE = 1 / 3
_LATER_COUNTS = 0.5
"""What later visits count beside the first evidence, with which they agree more than chance: Naive Bayes would count 1."""
_CHUNK = 2_000_000
_MOST_FOR_CLEANLAB = 5_000_000

Beforehand = Callable[[], Sequence[Array]]
"""Gives what models that did not see a row say of it: log-probabilities, (rows, classes) each (`data.beforehand`)."""


def is_due(epoch: int) -> bool:
    """Return whether rows are worth another review after `epoch` epochs: 1, 2, 4, 8 …, since less and less changes."""
    return epoch > 0 and epoch & (epoch - 1) == 0


class RowReview:
    """The learning history of the training rows of a single-label task, and what it says of their targets.

    `rows` are their ids, `classes`, (rows,), their targets (below 0: none), `names` the classes in order. `beforehand` is
    called once, at the first review.
    """

    def __init__(
        self,
        rows: Sequence[int] | Array,
        classes: Sequence[int] | Array,
        names: Sequence[str],
        beforehand: Beforehand | None = None,
    ) -> None:
        self._ids = np.asarray(rows, dtype=np.int64)
        self._names = list(names)
        self._history = History(np.asarray(classes, dtype=np.int64), len(self._names))
        self._beforehand = beforehand
        self._said: list[Array] | None = None

    def note(self, positions: Array, outputs: Array) -> None:
        """Keep how the model took the rows at `positions`, (batch,): its logits or log-probabilities, (batch, classes).

        They are those of the forward pass that the gradient is made of, before the update.
        """
        self._history.note(positions, outputs)

    def note_losses(self, positions: Array, losses: Array) -> None:
        """Keep the rows' losses, (batch,), −log p of the given class, where no more is known of the model's answer."""
        self._history.note_losses(positions, losses)

    def pack(self) -> bytes:
        """Return the whole history, for a checkpoint."""
        return self._history.pack()

    def unpack(self, packed: bytes) -> None:
        """Go back to what `pack` returned, bit for bit."""
        self._history.unpack(packed)

    def review(self, step: int, epoch: int) -> RowsReviewed:
        """Return the rows whose target is probably wrong, surest first."""
        history = self._history
        seen = np.flatnonzero((history.rows["visits"] > 0) & (history.classes >= 0))
        sizes = np.bincount(history.classes[seen], minlength=len(self._names))
        seen = seen[sizes[history.classes[seen]] >= _FEWEST_OF_CLASS]
        found = RowsReviewed(
            time=time.time(), step=step, epoch=epoch, rows=len(seen), suspects=[], expected=0.0
        )
        if len(seen) < _FEWEST or len(np.unique(history.classes[seen])) < 2:
            return found
        model = fit_noise(self._sources(seen), history.classes[seen])
        wrong, rivals, knowing = self._judged(seen, model)
        estimate = float(wrong.mean())
        is_likely = model.evidence >= _LEAST_EVIDENCE
        if not knowing or (not is_likely and estimate > 0.02):
            return found
        suspects, expected = self._suspects(seen, wrong, rivals, model) if is_likely else ([], 0.0)
        return RowsReviewed(
            time=time.time(),
            step=step,
            epoch=epoch,
            rows=len(seen),
            suspects=suspects,
            expected=round(expected, 2),
            estimate=round(estimate, 4),
        )

    def _sources(self, positions: Array) -> list[Array]:
        if self._said is None:
            self._said = list(self._beforehand()) if self._beforehand is not None else []
        return [*(said[positions] for said in self._said), self._history.first_visits(positions)]

    def _judged(self, seen: Array, model: NoiseModel) -> tuple[Array, Array, bool]:
        """Return the probability that each target is wrong, (n,), what is right then, and if the models know anything."""
        wrong, rivals, agreeing = [], [], 0
        for part in np.array_split(seen, 1 + len(seen) * len(self._names) // _CHUNK):
            sources, given = self._sources(part), self._history.classes[part]
            right, each = model.right(sources, given), np.arange(len(part))
            blind = sum(weight * source for weight, source in zip(model.weights, sources, strict=True))
            agreeing += int((np.asarray(blind).argmax(axis=1) == given).sum())
            wrong.append(1 - right[each, given])
            right[each, given] = -1.0
            rivals.append(right.argmax(axis=1))
        majority = np.bincount(self._history.classes[seen]).max() / len(seen)
        beyond = agreeing / len(seen) - majority
        knowing = beyond > 3 * float(np.sqrt(majority * (1 - majority) / len(seen)))
        return np.concatenate(wrong), np.concatenate(rivals), bool(knowing)

    def _suspects(
        self, seen: Array, wrong: Array, rivals: Array, model: NoiseModel
    ) -> tuple[list[Suspect], float]:
        """Return the suspects, surest first, and how many of them have a right target after all, as far as is known."""
        confidence = with_later(wrong, self._history.later_margins(seen))
        chosen = np.flatnonzero(confidence >= max(_LEAST_CONFIDENCE, best_cut(confidence)))
        chosen = chosen[np.argsort(-confidence[chosen], kind="stable")]
        reasons = self._reasons(seen, model)
        given = self._history.classes[seen]
        rivals = self._better_rivals(seen, rivals)
        suspects = [
            Suspect(
                row=int(self._ids[seen[i]]),
                confidence=round(float(confidence[i]), 4),
                given=self._names[given[i]],
                suggested=self._names[rivals[i]],
                reasons=[reason for reason, holds in reasons.items() if holds[i]],
            )
            for i in chosen[:MOST_SUSPECTS].tolist()
        ]
        return suspects, float((1 - confidence[chosen]).sum())

    def _better_rivals(self, seen: Array, rivals: Array) -> Array:
        """Return what is right in place of the given class, (n,): after three visits the model's own choice."""
        rows = self._history.rows[seen]
        settled = (rows["visits"] > 2) & (rows["rival"] >= 0) & (rows["votes"] > 0)
        result: Array = np.where(settled, rows["rival"], rivals)
        return result

    def _reasons(self, seen: Array, model: NoiseModel) -> dict[str, Array]:
        """Return for each reason which rows show it, (n,)."""
        rows = self._history.rows[seen]
        margins, strange = self._history.mean_margins(seen), self._history.strange_margins(seen)
        learned = np.where(rows["learned_at"] > 0, rows["learned_at"], np.iinfo(np.int32).max)
        late = learned > max(1, float(np.quantile(learned, 0.9))) if rows["visits"].max() > 1 else learned < 0
        return {
            "confident_learning": self._by_cleanlab(seen, model),
            "margin": margins < _crossing(margins, strange),
            "forgetting": rows["forgotten"] > max(0, float(np.quantile(rows["forgotten"], 0.9))),
            "late": late,
        }

    def _by_cleanlab(self, seen: Array, model: NoiseModel) -> Array:
        if len(seen) * len(self._names) > _MOST_FOR_CLEANLAB:
            return np.zeros(len(seen), dtype=np.bool_)
        from cleanlab.filter import find_label_issues

        given = self._history.classes[seen]
        there, numbered = np.unique(given, return_inverse=True)
        told = model.told(self._sources(seen))[:, there]
        told /= told.sum(axis=1, keepdims=True)
        issues: Array = find_label_issues(numbered, told, n_jobs=1)
        return issues


def with_later(wrong: Array, margins: Array) -> Array:
    """Return the probabilities, (n,), that targets are wrong, with what the margins of later visits, (n,), add to them.

    The margins of wrong and right targets are taken as normal, each row counted to both as far as it may be either.
    """
    known = np.isfinite(margins)
    if not known.any():
        return wrong
    prior = np.clip(wrong, 1e-4, 1 - 1e-4)
    log_odds, result = np.log(prior / (1 - prior)), wrong.copy()
    for _ in range(3):
        low, low_width = normal(margins[known], result[known])
        high, high_width = normal(margins[known], 1 - result[known])
        if low >= high:
            return wrong
        # Beyond the two means a margin says no more than they do: normal tails of unlike widths would cross again.
        inside = np.clip(margins, low, high)
        added = log_normal(inside, low, low_width) - log_normal(inside, high, high_width)
        odds = log_odds + _LATER_COUNTS * np.where(known, added, 0.0)
        result = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return result


def best_cut(confidence: Array) -> float:
    """Return the confidence down to which rows must be named for the best F1 that the confidences themselves promise."""
    ordered = np.sort(confidence)[::-1]
    promised = np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum())
    return float(ordered[promised.argmax()])


def _crossing(margins: Array, strange: Array) -> float:
    """Return the margin that as large a share of the surely wrong targets exceeds as of the given ones falls short of."""
    shares = np.linspace(0, 1, 201)
    below, above = np.quantile(margins, shares), np.quantile(strange, 1 - shares)
    return float(below[int(np.argmax(below >= above))])

"""Which rows make which batch: a function of (seed, cursor), computed and never remembered.

A loader that draws an order and walks through it must replay the walk at a resume, and hands out other rows when the
number of its workers changes. Here batch `cursor` is computed from the seed and its own number, so a resume needs one
integer, any point of a loss curve leads back to its rows, and who computes the batch makes no difference.

That asks for the same number of batches in every epoch: then ``divmod(cursor, batches)`` tells the epoch without
looking at those before. Three arrangements have it:

- *random*: a permutation, cut every `batch_size` rows. With a token budget: cut at as many rows as fit the budget
  at the longest length of all.
- *grouped, fixed size*: the permutation is cut into megabatches of about 50 batches; each is sorted by length, then
  cut into batches. Rows of like length meet and little is padded, while their company changes every epoch.
- *grouped, token budget*: how many batches a random megabatch needs would differ from epoch to epoch. So megabatches
  are stratified: all rows are sorted by length once and cut into runs as long as there are megabatches; each
  megabatch gets one random row of each run. All megabatches then have nearly the same lengths, and one plan of
  cuts, made for the longest row of each run, keeps every batch of every epoch within the budget.

In the grouped arrangements the batches of an epoch are shuffled; a short one of a fixed size stays last. Random
numbers are raw words of Philox, a counter-based generator keyed by (seed, epoch), sorted; raw words are the part
of numpy's generators that is promised to stay the same over versions.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Indexes = npt.NDArray[np.int64]
_NOBODY = -1
"""Stands where the last, shortest run has no row for a megabatch."""


class BatchOrder:
    """The order of a split's rows for ever, epoch after epoch; each row stands exactly once in an epoch."""

    VERSION = 1
    """Raised when the same arguments give another order; a checkpoint keeps it."""
    MEGABATCH = 50
    """Batches in a megabatch, at most; there are at least four megabatches where the rows allow it."""

    def __init__(
        self,
        lengths: npt.ArrayLike,
        *,
        seed: int,
        batch_size: int,
        max_tokens: int | None = None,
        group_by_length: bool = True,
    ) -> None:
        """`lengths`, (rows,), in tokens; `batch_size` in rows, or `max_tokens` = rows × longest length of a batch.

        A row longer than `max_tokens` makes a batch of its own.
        """
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._seed = seed
        rows = len(self._lengths)
        if rows == 0 or batch_size < 1 or (max_tokens is not None and max_tokens < 1):
            raise ValueError(f"no batches from {rows} rows, batch_size {batch_size}, max_tokens {max_tokens}")
        self._grouped = group_by_length
        self._stratified = group_by_length and max_tokens is not None
        self._batch_size = batch_size
        self._known: tuple[int, Indexes, Indexes] | None = None
        if max_tokens is not None and self._grouped:
            self._plan(max_tokens)
            return
        if max_tokens is not None:
            self._batch_size = max(1, max_tokens // max(1, int(self._lengths.max())))
        self._batches = math.ceil(rows / self._batch_size)

    def num_batches(self, epoch: int = 0) -> int:
        """Return the batches of an epoch, the same for each."""
        return self._batches

    def total_batches(self, num_epochs: float) -> int:
        """Return the batches of `num_epochs` passes, a part of an epoch rounded up, at least one."""
        return max(1, math.ceil(num_epochs * self._batches - 1e-9))

    def epoch_at(self, cursor: int) -> float:
        """Return how many passes lie before batch `cursor`, with fraction."""
        return cursor / self._batches

    def batch_at(self, cursor: int) -> Indexes:
        """Return the indexes of the rows of batch `cursor`, int64 (rows of the batch,), read-only."""
        epoch, number = divmod(cursor, self._batches)
        if self._known is None or self._known[0] != epoch:
            rows, cuts = self._epoch(epoch)
            rows.setflags(write=False)
            self._known = (epoch, rows, cuts)
        _, rows, cuts = self._known
        return rows[cuts[number] : cuts[number + 1]]

    def _epoch(self, epoch: int) -> tuple[Indexes, Indexes]:
        """Return the rows of an epoch in order, and where each batch begins: (rows,) and (batches + 1,)."""
        generator = np.random.Philox(key=np.array([self._seed, epoch], dtype=np.uint64))
        if self._stratified:
            return self._stratified_epoch(generator)
        rows = _shuffled(generator, len(self._lengths))
        starts = np.arange(self._batches, dtype=np.int64) * self._batch_size
        cuts = np.append(starts, len(rows))
        if not self._grouped:
            return rows, cuts
        megabatch = np.arange(len(rows)) // self._megabatch_size(self._batch_size)
        longest = int(self._lengths.max())
        rows = rows[_sorted_by(megabatch * (longest + 1) + longest - self._lengths[rows])]
        full = len(rows) // self._batch_size
        order = np.append(_shuffled(generator, full), np.arange(full, self._batches))
        return _reordered(rows, cuts, order)

    def _megabatch_size(self, batch_size: int) -> int:
        """Return the rows of a megabatch: whole batches."""
        quarter = len(self._lengths) // 4 // batch_size
        return batch_size * max(1, min(self.MEGABATCH, quarter))

    def _plan(self, max_tokens: int) -> None:
        """Sort all rows, longest first, into runs, and cut the runs into batches that fit the budget.

        Of the last run, which may be short, only some megabatches get a row; so a batch of that run alone exists
        in those megabatches only.
        """
        rows = len(self._lengths)
        typical = max(1, max_tokens // max(1, round(float(self._lengths.mean()))))
        megabatches = max(1, round(rows / self._megabatch_size(typical)))
        runs = math.ceil(rows / megabatches)
        self._runs: Indexes = np.full(runs * megabatches, _NOBODY, dtype=np.int64)
        self._runs[:rows] = np.argsort(-self._lengths, kind="stable")
        self._runs = self._runs.reshape(runs, megabatches)
        longest = self._lengths[self._runs[:, 0]]
        starts = [0]
        for run in range(1, runs):
            if (run + 1 - starts[-1]) * int(longest[starts[-1]]) > max_tokens:
                starts.append(run)
        self._starts: Indexes = np.add.outer(np.arange(megabatches) * runs, np.array(starts)).ravel()
        missing = runs * megabatches - rows if starts[-1] == runs - 1 else 0
        self._batches = len(self._starts) - missing

    def _stratified_epoch(self, generator: np.random.Philox) -> tuple[Indexes, Indexes]:
        dealt = np.take_along_axis(self._runs, _shuffled(generator, *self._runs.shape), axis=1)
        by_megabatch = dealt.T.ravel()
        present = by_megabatch != _NOBODY
        sizes = np.add.reduceat(present, self._starts, dtype=np.int64)
        cuts = np.append(0, np.cumsum(sizes[sizes > 0]))
        return _reordered(by_megabatch[present], cuts, _shuffled(generator, self._batches))


def _shuffled(generator: np.random.Philox, *shape: int) -> Indexes:
    """Return 0 … n - 1 in random order along the last axis, n long.

    Each position is put into the low bits of a random word and the words are sorted: no two are equal, so any sorting
    algorithm on any machine gives the same order, and sorting values is many times quicker than sorting indexes.
    """
    bits = np.uint64(shape[-1].bit_length())
    words = generator.random_raw(math.prod(shape)).reshape(shape)
    words = (words >> bits << bits) | np.arange(shape[-1], dtype=np.uint64)
    words.sort(axis=-1)
    return (words & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)


def _sorted_by(keys: Indexes) -> Indexes:
    """Return the positions of `keys` in ascending order, equal ones in their own; in the same quick way."""
    packed = keys * len(keys) + np.arange(len(keys))
    packed.sort()
    return packed % len(keys)


def _reordered(rows: Indexes, cuts: Indexes, order: Indexes) -> tuple[Indexes, Indexes]:
    """Return the rows and cuts with the batches in another `order`, (batches,)."""
    sizes = np.diff(cuts)[order]
    new_cuts = np.append(0, np.cumsum(sizes))
    return rows[np.repeat(cuts[order] - new_cuts[:-1], sizes) + np.arange(len(rows))], new_cuts

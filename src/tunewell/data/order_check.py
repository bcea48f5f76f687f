"""Whether the batches, as they will come, are mixed: each of about the same classes as the whole split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewell.data.checked_rows import IGNORED, Array, CheckedRows
from tunewell.data.simple_model import compact, single_classes
from tunewell.inspections import DataCheck

MOST_BATCHES = 500
_ORDERS = 100
"""Random orders that the real one is compared with."""


def check_order(rows: CheckedRows, batches: Sequence[Sequence[int] | Array] | None) -> DataCheck:
    """Return the check ``order`` of the training rows.

    ``purity``: mean share of the largest class in a batch, or, of numbers, share of the variance that lies between
    batches; ``expected`` and ``z``: of it under random orders; ``drift``: rank correlation of target and place in the file,
    or, of classes, the purity of pieces of the file as long as a batch, 0 as by chance to 1 (one class each).
    """
    values = _values(rows)
    if values is None:
        return DataCheck(why_not="targets are neither classes nor numbers")
    supervised, targets, are_classes = values
    if len(targets) < 4:
        return DataCheck(why_not="fewer than four rows have a target")
    generator = np.random.default_rng(0)
    size = max(2, min(32, len(targets) // 4))
    own = [np.arange(i, min(i + size, len(targets))) for i in range(0, len(targets), size)]
    share, chance, _ = _measured(targets, own, are_classes, generator)
    numbers = {"drift": round(max(0.0, (share - chance) / max(1e-9, 1 - chance)), 4)}
    if batches is None:
        return DataCheck(of=len(targets), numbers=numbers, detail="How batches will come is not known.")
    place = np.full(len(rows), -1)
    place[supervised] = np.arange(len(supervised))
    coming = [place[np.asarray(batch, dtype=np.int64)] for batch in batches[:MOST_BATCHES]]
    coming = [kept for batch in coming if len(kept := batch[batch >= 0]) > 1]
    if len(coming) < 2:
        return DataCheck(why_not="there are fewer than two batches of two rows")
    purity, expected, z = _measured(targets, coming, are_classes, generator)
    numbers |= {"purity": round(purity, 4), "expected": round(expected, 4), "z": round(z, 2)}
    return DataCheck(of=len(targets), numbers=numbers)


def _values(rows: CheckedRows) -> tuple[Array, Array, bool] | None:
    """Return the supervised rows, (n,), one target each, (n,), and whether these are classes."""
    classes = single_classes(rows)
    if classes is not None:
        supervised, numbered = compact(np.where(classes == IGNORED, IGNORED, classes))
        return supervised, numbered, True
    if rows.target_kind == "numbers":
        return np.arange(len(rows)), rows.targets[:, 0], False
    return None


def _measured(
    targets: Array, batches: list[Array], are_classes: bool, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Return the purity of the batches, its mean over random orders, and in how many deviations it lies beyond that."""
    members = np.concatenate(batches)
    number = np.repeat(np.arange(len(batches)), [len(batch) for batch in batches])
    purity = _purity_of_classes if are_classes else _purity_of_numbers
    real = purity(targets[members], number)
    random = np.array([purity(generator.permutation(targets[members]), number) for _ in range(_ORDERS)])
    deviation = max(float(random.std(ddof=1)), 1e-6)
    return real, float(random.mean()), (real - float(random.mean())) / deviation


def _purity_of_classes(targets: Array, number: Array) -> float:
    counts = np.zeros((int(number[-1]) + 1, int(targets.max()) + 1))
    np.add.at(counts, (number, targets), 1)
    return float(counts.max(axis=1).sum() / len(targets))


def _purity_of_numbers(targets: Array, number: Array) -> float:
    centred = targets - targets.mean()
    sums, sizes = np.bincount(number, centred), np.bincount(number)
    return float((sums**2 / sizes).sum() / max(1e-30, float((centred**2).sum())))

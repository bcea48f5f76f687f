"""Faults of what is learned: too much of a few rows, or the new at the cost of the old."""

from __future__ import annotations

import copy

from benchmarks.faultbench.faults import When, fault
from benchmarks.faultbench.loop import Unwatched, train
from benchmarks.faultbench.training import Draw, Rows, Training


@fault(31, "overfitting", When.BEHAVIOUR, magnitude=(64, 48, 128))
def few_rows(training: Training, draw: Draw) -> None:
    """64 rows are trained on for 100 epochs, at a constant rate."""
    training.train = training.train[: round(draw.magnitude)]
    training.steps = 100 * training.epoch_steps
    training.decay = "constant"


@fault(32, "forgetting", When.BEHAVIOUR, magnitude=(5, 3, 10))
def new_classes(training: Training, draw: Draw) -> None:
    """A model that knows half of the classes is trained on the other half alone, at 5 times the rate."""
    old = training.num_classes // 2
    before = copy.copy(training)
    before.train, before.validation = (
        _of_classes(rows, 0, old) for rows in (training.train, training.validation)
    )
    before.steps //= 2
    optimizer = before.build_optimizer()
    train(before, optimizer, before.build_schedule(optimizer), Unwatched())
    training.train = _of_classes(training.train, old, training.num_classes)
    training.rate *= draw.magnitude
    training.max_grad_norm = (
        training.max_grad_norm or 1.0
    )  # else the first updates throw the model away, new and old


def _of_classes(rows: Rows, first: int, end: int) -> Rows:
    return rows[(rows.targets >= first) & (rows.targets < end)]

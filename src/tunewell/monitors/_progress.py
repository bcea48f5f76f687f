"""How far the training loss has come since a stage began: what monitors of looks inside need of the curve."""

from __future__ import annotations

import math

from tunewell.monitors._protocol import State
from tunewell.monitors._statistics import is_usable, mean, standard_error
from tunewell.records import Record, StageBegan, Started, Step

WINDOW = 16
"""Losses of each of the two means."""


def init() -> State:
    """Return the state before any record; a monitor keeps it in its own."""
    return {"updates": 0, "first": [], "recent": []}


def follow(progress: State, record: Record) -> State:
    """Return `progress` after `record`; updates that the guard refused are passed over."""
    match record:
        case Started() | StageBegan():
            return init()
        case Step() if is_usable(record.loss) and not record.skipped:
            first = progress["first"]
            return {
                "updates": progress["updates"] + 1,
                "first": first if len(first) == WINDOW else [*first, record.loss],
                "recent": [*progress["recent"], record.loss][-WINDOW:],
            }
    return progress


def is_known(progress: State) -> bool:
    """Return whether the two means are of different losses."""
    return bool(progress["updates"] >= 2 * WINDOW)


def fall(progress: State) -> tuple[float, float]:
    """Return by how much the mean of recent losses is below that of the first, and the standard error of that."""
    first, recent = progress["first"], progress["recent"]
    return mean(first) - mean(recent), math.hypot(standard_error(first), standard_error(recent))


def has_fallen(progress: State, share: float) -> bool:
    """Return whether the loss may have fallen by that share of what it was at the beginning, noise considered."""
    fallen, error = fall(progress)
    return fallen + error >= share * abs(mean(progress["first"]))


def stands_still(progress: State) -> bool:
    """Return whether the loss has surely not fallen by a tenth since the beginning."""
    return is_known(progress) and not has_fallen(progress, 0.1)

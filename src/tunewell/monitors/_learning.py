"""What a run has learned, and what of it it has lost: its losses beside what guessing would cost.

Guessing with equal odds costs log(classes); always telling the class shares costs their entropy. Both are known
before the first update for single-label tasks, so that "worse than guessing" needs no threshold tuned on curves. Where
there are no classes, the first losses stand for guessing: a model that is worse than untouched is worse for certain.
Many monitors ask this, each keeps this state in its own, and all of them get the same object (`follow`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tunewell.monitors import _phase
from tunewell.monitors._protocol import State
from tunewell.monitors._statistics import is_usable, mean, median, pushed, rank_z, standard_error
from tunewell.records import Eval, Record, StageBegan, Started, Step

READS = (Started, StageBegan, Step, Eval)
"""Records that this looks at."""
WINDOW = 32
"""Updates of the mean that is compared with guessing: short enough to speak within 50 updates, long enough for
batches of a few rows."""
RECENT = 16
"""Updates that a relapse is judged by."""
KEPT = 64
"""Losses kept of the present phase."""
LEARNED = 0.95
"""A mean loss under this share of guessing's shows that something was learned."""
FALLING = 0.97
"""The later half of a window beside the earlier one, below which the loss is on its way down."""
ROWS, ROWS_PER_CLASS = 500, 16
"""Rows that a run is given before it is said to learn nothing."""
FIRST = 8
"""First losses of the run: how they scatter says what their mean is worth."""
FEW = 3
"""First losses that say what a model that knows nothing costs in this loss's own units: later ones are learning."""


class Relapse(NamedTuple):
    """How far the last losses are above the best ones of the phase."""

    reached: float
    """Middle of the best window."""
    now: float
    """Middle of the last `RECENT` losses."""
    lost: float
    """Share of what had been learned that is gone."""
    z: float
    """Of a rank test between the two."""
    borne: int
    """Updates after warm-up until the best window's end: a rate that went well for long is not suddenly too high."""


def init() -> State:
    """Return the state before any record."""
    return _INITIAL


_INITIAL: State = {
    "phase": _phase.init(),
    "uniform": None,
    "entropy": None,
    "majority": None,
    "classes": 0,
    "rows": 0,
    "first": [],
    "begun": None,
    "losses": [],
    "level": None,
    "best": None,
    "best_losses": [],
    "reached": None,
    "borne": 0,
    "eval_loss": None,
    "accuracy": None,
}


_LATEST: list[tuple[Record | None, list[tuple[State, State]]]] = [(None, [])]
"""The last record, and the states before and after it: computed once for all monitors of a run."""


def follow(learning: State, record: Record) -> State:
    """Return `learning` after `record`. Updates that the guard refused are passed over: their loss is another fault.

    Monitors that ask this with equal states of the same record get one object.
    """
    latest, known = _LATEST[0]
    if latest is not record:
        known = []
        _LATEST[0] = (record, known)
    for before, after in known:
        if before is learning or before == learning:
            return after
    after = _after(learning, record)
    known.append((learning, after))
    return after


def _after(learning: State, record: Record) -> State:
    phase = _phase.follow(learning["phase"], record)
    match record:
        case Started():
            return {**init(), **_guessing(record), "phase": phase}
        case Step() if is_usable(record.loss) and not record.skipped:
            return _measured({**learning, "phase": phase}, record)
        case Eval() if record.split == "validation" and is_usable(record.loss):
            accuracy = record.metrics.get("accuracy")
            known = accuracy is not None and is_usable(accuracy)
            return {**learning, "eval_loss": record.loss, "accuracy": accuracy if known else None}
    return learning if phase is learning["phase"] else {**learning, "phase": phase}


def _measured(learning: State, step: Step) -> State:
    """Return `learning` with the loss of `step`; changes the dictionary it got, which nobody else holds."""
    begins = _phase.begins(learning["phase"], step)
    losses = pushed([] if begins else learning["losses"], step.loss, KEPT)
    learning["losses"] = losses
    learning["rows"] += step.rows
    if begins:
        learning["level"], learning["best_losses"], learning["reached"] = None, [], None
    if len(learning["first"]) < FIRST:
        first = [*learning["first"], step.loss]
        is_start = len(first) == FIRST and not learning["phase"]["past_warmup"]
        learning["first"], learning["begun"] = first, mean(first) if is_start else None
    if len(losses) >= WINDOW:
        window = losses[-WINDOW:]
        level = mean(window)
        best = learning["best"]
        learning["best"] = level if best is None else min(best, level)
        if learning["level"] is None or level < learning["level"]:
            learning["level"], learning["best_losses"], learning["reached"] = level, window, median(window)
            learning["borne"] = learning["phase"]["past_warmup"]
    return learning


def _guessing(started: Started) -> State:
    counts = [count for count in started.class_counts.values() if count > 0]
    total = sum(counts)
    entropy = (
        -math.fsum(count / total * math.log(count / total) for count in counts) if len(counts) > 1 else None
    )
    return {
        "classes": started.num_classes,
        "uniform": math.log(started.num_classes) if started.num_classes > 1 else None,
        "entropy": entropy,
        "majority": max(counts) / total if counts else None,
    }


def guessing(learning: State) -> float | None:
    """Return the loss of guessing, or None where it is not known.

    At least what the run's first losses were: class weights and other objectives have their own scale, and new layers on
    a trained model may begin far above guessing. Under a warm-up their mean says it; at a full rate the least of the
    first few, since the next ones may have blown up already.
    """
    if learning["uniform"] is None or not learning["first"]:
        return None
    return float(max(learning["uniform"], learning["begun"] or min(learning["first"][:FEW])))


def start(learning: State) -> float | None:
    """Return what a model that knows nothing of the task costs: guessing, else the mean of the first losses."""
    if learning["uniform"] is None:
        few = mean(learning["first"][:FEW]) if len(learning["first"]) == FIRST else None
        return learning["begun"] or few
    return guessing(learning)


def scale(learning: State) -> float | None:
    """Return the size of a loss that matters in this run: that of guessing, else that of the first updates."""
    if not learning["first"]:
        return None
    return float(learning["uniform"] or max(1e-12, abs(median(learning["first"][:FEW]))))


def lost(learning: State, reached: float, now: float) -> float:
    """Return which share of what had been learned is gone, as the loss went from `reached` back up to `now`.

    Harder rows raise a loss too, but leave most of what was learned; a model that is coming apart does not.
    """
    known = learning["uniform"]
    beginning = known if known is not None else median(learning["first"][:FEW])
    learned = beginning - reached
    return (now - reached) / learned if learned > 0 else float(now > reached)


def relapse(learning: State, *, least_lost: float, least_rise: float) -> Relapse | None:
    """Return how far the last losses of the phase are above its best ones, if that is much.

    `least_lost` is a share of what had been learned, `least_rise` a share of guessing's loss.
    """
    reached, recent = learning["reached"], learning["losses"][-RECENT:]
    if reached is None or not recent:
        return None
    now = median(recent)
    rise = now - reached
    if rise <= 0 or rise < least_rise * (scale(learning) or now):
        return None
    share = lost(learning, reached, now)
    if share < least_lost:
        return None
    return Relapse(reached, now, share, rank_z(recent, learning["best_losses"]), learning["borne"])


def never_learned(learning: State) -> bool:
    """Return whether no window of the run has been better than guessing, nor the last evaluation."""
    chance = start(learning)
    if chance is None or chance <= 0 or learning["best"] is None:
        return False
    evaluated = learning["eval_loss"] is not None and learning["eval_loss"] < 0.9 * chance
    return bool(learning["best"] >= LEARNED * chance) and not evaluated


def is_at_guessing(learning: State) -> bool:
    """Return whether the last window's mean is about what guessing costs, or more."""
    chance, losses = start(learning), learning["losses"][-WINDOW:]
    return chance is not None and len(losses) == WINDOW and mean(losses) >= LEARNED * chance


def had_its_chance(learning: State, *, share: float, least: int = 60) -> bool:
    """Return whether the phase had `share` of its updates after warm-up, and enough rows to see a weak signal.

    That takes hundreds of rows, whatever the model, and a few of each class.
    """
    phase = learning["phase"]
    needed = max(least, math.ceil(share * (phase["last"] - phase["first"] + 1)))
    had_rows = learning["rows"] >= max(ROWS, ROWS_PER_CLASS * learning["classes"])
    return bool(phase["past_warmup"] >= needed and had_rows)


def excess(learning: State) -> tuple[float, float]:
    """Return by what share the last window's mean is above guessing, and in how many standard errors that is.

    0 while the loss falls. Where the first losses stand for guessing, their own error counts too.
    """
    chance = start(learning)
    losses = learning["losses"][-WINDOW:]
    if chance is None or len(losses) < WINDOW or chance <= 0:
        return 0.0, 0.0
    above = mean(losses) - chance
    if above <= 0 or median(losses[RECENT:]) < FALLING * median(losses[:RECENT]):
        return 0.0, 0.0
    noise = standard_error(losses)
    if learning["uniform"] is None or learning["begun"]:
        noise = math.hypot(noise, standard_error(learning["first"]) * math.sqrt(FIRST / FEW))
    return above / chance, above / max(1e-12, noise)

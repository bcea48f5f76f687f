"""Whether a run has learned anything yet: its losses beside what guessing would cost.

Guessing with equal odds costs log(classes); always telling the class shares costs their entropy. Both are known
before the first update for single-label tasks, so that "worse than guessing" needs no threshold tuned on curves.
Several monitors ask this; each keeps this state in its own.
"""

from __future__ import annotations

import math

from tunewell.monitors import _phase
from tunewell.monitors._protocol import State
from tunewell.monitors._statistics import mean, median, pushed, standard_error
from tunewell.records import Eval, Record, Started, Step

WINDOW = 32
"""Updates of the mean that is compared with guessing: short enough to speak within 50 updates, long enough for
batches of a few rows."""
KEPT = 64
"""Losses kept of the present phase."""
LEARNED = 0.95
"""A mean loss under this share of guessing's shows that something was learned."""
FIRST = 3
"""First losses of the run that say what a model that knows nothing costs in this loss's own units."""


def init() -> State:
    """Return the state before any record."""
    return {
        "phase": _phase.init(),
        "uniform": None,
        "entropy": None,
        "majority": None,
        "first": [],
        "losses": [],
        "best": None,
        "eval_loss": None,
        "accuracy": None,
    }


def follow(learning: State, record: Record) -> State:
    """Return `learning` after `record`. Updates that the guard refused are passed over: their loss is another fault."""
    phase = _phase.follow(learning["phase"], record)
    match record:
        case Started():
            return {**init(), **_guessing(record), "phase": phase}
        case Step() if math.isfinite(record.loss) and not record.skipped:
            earlier = [] if _phase.begins(phase, record) else learning["losses"]
            losses = pushed(earlier, record.loss, KEPT)
            first = learning["first"]
            best = learning["best"]
            if len(losses) >= WINDOW:
                level = mean(losses[-WINDOW:])
                best = level if best is None else min(best, level)
            return {
                **learning,
                "phase": phase,
                "losses": losses,
                "best": best,
                "first": first if len(first) == FIRST else [*first, record.loss],
            }
        case Eval() if record.split == "validation" and math.isfinite(record.loss):
            return {**learning, "eval_loss": record.loss, "accuracy": record.metrics.get("accuracy")}
    return {**learning, "phase": phase}


def _guessing(started: Started) -> State:
    counts = [count for count in started.class_counts.values() if count > 0]
    total = sum(counts)
    entropy = (
        -math.fsum(count / total * math.log(count / total) for count in counts) if len(counts) > 1 else None
    )
    return {
        "uniform": math.log(started.num_classes) if started.num_classes > 1 else None,
        "entropy": entropy,
        "majority": max(counts) / total if counts else None,
    }


def guessing(learning: State) -> float | None:
    """Return the loss of guessing, or None where it is not known.

    At least the least of the run's first losses: class weights and other objectives have their own scale.
    """
    if learning["uniform"] is None or not learning["first"]:
        return None
    return float(max(learning["uniform"], min(learning["first"])))


def scale(learning: State) -> float | None:
    """Return the size of a loss that matters in this run: that of guessing, else that of the first updates."""
    if not learning["first"]:
        return None
    return float(learning["uniform"] or max(1e-12, abs(median(learning["first"]))))


def lost(learning: State, reached: float, now: float) -> float:
    """Return which share of what had been learned is gone, as the loss went from `reached` back up to `now`.

    Harder rows raise a loss too, but leave most of what was learned; a model that is coming apart does not.
    """
    start = max(scale(learning) or 0.0, reached)
    learned = start - reached
    return (now - reached) / learned if learned > 0 else float(now > reached)


def never_learned(learning: State) -> bool:
    """Return whether no window of the run has been better than guessing, nor the last evaluation."""
    chance = guessing(learning)
    if chance is None or learning["best"] is None:
        return False
    evaluated = learning["eval_loss"] is not None and learning["eval_loss"] < 0.9 * chance
    return bool(learning["best"] >= LEARNED * chance) and not evaluated


def excess(learning: State) -> tuple[float, float]:
    """Return by what share the last window's mean is above guessing, and in how many standard errors that is."""
    chance = guessing(learning)
    losses = learning["losses"][-WINDOW:]
    if chance is None or len(losses) < WINDOW:
        return 0.0, 0.0
    above = mean(losses) - chance
    return above / chance, above / max(1e-12, standard_error(losses))

"""When a run begins anew: a stage or a warm restart, after which losses and gradients may rightly jump."""

from __future__ import annotations

import math

from tunewell.monitors._protocol import State
from tunewell.records import Record, StageBegan, Started, Step

RESTART_RISE = 1.5
"""A scheduled rate that grows by half in one update, to no more than it has been, is a warm restart; a warm-up only
reaches new peaks, and a rate that jumps above its peak is no part of any schedule."""
SETTLED = 10
"""Updates since the rate first stopped rising after which a warm-up, one in stairs too, is held to be over: what rises
beyond the peak of then, at once or little by little, is no part of any schedule either."""
JUMP = 1.5
"""Growth beyond the peak that is a jump."""


def init() -> State:
    """Return the state before any record; a monitor keeps it in its own."""
    return {
        "rate": 0.0, "peak": 0.0, "settled": 0.0, "first": 1, "last": 0, "updates": 0, "past_warmup": 0
    }  # fmt: skip


def follow(phase: State, record: Record) -> State:
    """Return `phase` after `record`; ``updates`` is 0 or 1 right after a new beginning.

    ``first`` and ``last`` are the phase's steps (``last`` 0: not known), ``updates`` those made in it, ``past_warmup``
    those made since the rate first stopped rising; ``settled`` is the peak of the warm-up once that is over, else 0.
    """
    match record:
        case Started():
            return {**init(), "last": record.total_steps}
        case StageBegan():
            return {**init(), "first": record.first_step, "last": record.last_step}
        case Step():
            rate, before = record.learning_rate, phase["rate"]
            if not math.isfinite(rate):
                rate = before
            if RESTART_RISE * before < rate <= 1.001 * phase["peak"]:
                return {**phase, "rate": rate, "first": record.step, "updates": 1, "past_warmup": 0}
            rising = rate > before
            peak = max(rate, phase["peak"])
            past = 0 if rising and not phase["past_warmup"] else phase["past_warmup"] + 1
            return {
                **phase,
                "rate": rate,
                "peak": peak,
                "settled": phase["settled"] or (peak if past == SETTLED else 0.0),
                "updates": phase["updates"] + 1,
                "past_warmup": past,
            }
    return phase


def begins(phase: State, record: Record) -> bool:
    """Return whether `record` has just begun the phase that `phase` (after `follow`) stands in."""
    return isinstance(record, Started | StageBegan) or (isinstance(record, Step) and phase["updates"] == 1)


def rate_jump(phase: State, record: Step) -> float:
    """Return how many times the rate of the warm-up's end (else the highest before) `record` used; 1: no jump."""
    usual = phase["settled"] or (phase["peak"] if phase["past_warmup"] else 0.0)
    is_jump = usual > 0 and JUMP * usual < record.learning_rate < math.inf
    return float(record.learning_rate / usual) if is_jump else 1.0

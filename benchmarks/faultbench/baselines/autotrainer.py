"""AutoTrainer's five symptoms, each while the run is not learning.

Source: "AutoTrainer: An Automatic DNN Training Problem Detection and Repair System" (ICSE 2021): vanishing (first layer's gradient to
the last's below 1e-3, and the first below 1e-4), exploding (ratio above 70, or not finite), dying ReLU (over 70 % of a layer's
gradient zero), oscillating loss (accuracy swings of 0.03 in a fifth of the epochs), slow convergence (gain below 0.01 an epoch);
an accuracy below 0.6 is "not learning". It asks the training accuracy; these records hold the validation metric, which is
taken instead, and an evaluation stands for an epoch. Ratios are of norms by layer in sampled updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from benchmarks.faultbench.baselines._curves import evaluations, looks, not_finite, of_one_code, steps
from benchmarks.faultbench.outcome import Alarm
from tunewell.records import Record

LEARNED = 0.6
VANISHED_RATIO, VANISHED = 1e-3, 1e-4
EXPLODED_RATIO = 70.0
DEAD = 0.7
SWING, SWINGING = 0.03, 0.2
GAIN = 0.01
FIRST_EPOCHS = 5


def alarms(records: Sequence[Record]) -> list[Alarm]:
    """Return what it names, in this project's words."""
    vanishing, exploding = [], []
    for one in steps(records):
        norms = list((one.layer_gradients or {}).values())
        if len(norms) < 2 or _learns(records, one.step):
            continue
        ratio = norms[0] / max(norms[-1], 1e-30)
        if ratio < VANISHED_RATIO and norms[0] < VANISHED:
            vanishing.append(one.step)
        if ratio > EXPLODED_RATIO:
            exploding.append(one.step)
    return [
        *of_one_code("vanishing_gradient", vanishing),
        *of_one_code("exploding_gradient", sorted({*exploding, *not_finite(records)})),
        *of_one_code("dead_units", _dead(records)),
        *of_one_code("oscillation", _oscillating(records)),
        *of_one_code("underfitting", _slow(records)),
    ]


def _metrics(records: Sequence[Record]) -> list[tuple[int, float]]:
    return [(one.step, next(iter(one.metrics.values()), 0.0)) for one in evaluations(records)]


def _learns(records: Sequence[Record], step: int) -> bool:
    return any(value >= LEARNED for at, value in _metrics(records) if at <= step)


def _dead(records: Sequence[Record]) -> Iterator[int]:
    for one in looks(records):
        if any(share > DEAD for share in (one.zero_gradients or {}).values()) and not _learns(
            records, one.step
        ):
            yield one.step


def _oscillating(records: Sequence[Record]) -> Iterator[int]:
    values = _metrics(records)
    for end in range(FIRST_EPOCHS, len(values)):
        seen = [value for _, value in values[: end + 1]]
        changes = [b - a for a, b in pairwise(seen)]
        turns = sum(a * b < 0 and min(abs(a), abs(b)) >= SWING for a, b in pairwise(changes))
        if turns >= SWINGING * len(seen) and seen[-1] < LEARNED:
            yield values[end][0]


def _slow(records: Sequence[Record]) -> Iterator[int]:
    values = _metrics(records)
    for end in range(FIRST_EPOCHS, len(values)):
        gains = values[end][1] - values[end - FIRST_EPOCHS][1]
        if gains < GAIN * FIRST_EPOCHS and values[end][1] < LEARNED:
            yield values[end][0]

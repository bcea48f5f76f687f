"""SageMaker Debugger's built-in rules with their documented defaults, as far as these records hold what they ask.

Source: "List of Debugger built-in rules" (Amazon SageMaker developer guide). Asked here: ExplodingTensor, VanishingGradient (mean
absolute gradient below 1e-7; these records hold norms, which are larger, so that it alarms less), WeightUpdateRatio (outside 1e-8
to 10), UnchangedTensor (3 looks), DeadRelu (over half of a layer silent), LossNotDecreasing (10 updates, by 0.1 %), Overfit (gap
over 10 % of the training loss), Overtraining (patience 10), ClassImbalance (over 10:1 and a class missed in over 70 %),
NotNormalizedData (mean over 0.2). Not asked: PoorWeightInitialization, TensorVariance, AllZero, Confusion, Tanh: they
read weights and activations that are not in the records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks.faultbench.baselines._curves import (
    evaluations,
    looks,
    not_finite,
    of_one_code,
    started,
    steps,
)
from benchmarks.faultbench.outcome import Alarm
from tunewell.records import Record

VANISHED = 1e-7
LARGEST_UPDATE, SMALLEST_UPDATE = 10.0, 1e-8
UNCHANGED_LOOKS = 3
SILENT = 0.5
LOSS_STEPS, LOSS_PERCENT = 10, 0.1
OVERFIT_RATIO = 0.1
PATIENCE, DELTA = 10, 0.1
IMBALANCE, MISSED = 10.0, 0.7
INPUT_MEAN = 0.2


def alarms(records: Sequence[Record]) -> list[Alarm]:
    """Return what its rules raise, in this project's words."""
    updates = [(one.step, one.layer_updates) for one in steps(records) if one.layer_updates]
    return [
        *of_one_code("non_finite", not_finite(records)),
        *of_one_code("vanishing_gradient", _vanishing(records)),
        *of_one_code(
            "learning_rate_too_high", (at for at, sizes in updates if max(sizes.values()) > LARGEST_UPDATE)
        ),
        *of_one_code(
            "learning_rate_too_low", (at for at, sizes in updates if max(sizes.values()) < SMALLEST_UPDATE)
        ),
        *of_one_code("parameters_not_updating", _unchanged(updates)),
        *of_one_code("dead_units", _dead(records)),
        *of_one_code("underfitting", _not_decreasing(records)),
        *of_one_code("overfitting", _overfit(records)),
        *of_one_code("overtraining", _overtraining(records)),
        *of_one_code("class_imbalance", _imbalance(records)),
        *of_one_code("inputs_not_normalized", _not_normalized(records)),
    ]


def _vanishing(records: Sequence[Record]) -> Iterator[int]:
    for one in steps(records):
        if any(norm < VANISHED for norm in (one.layer_gradients or {}).values()):
            yield one.step


def _unchanged(updates: Sequence[tuple[int, dict[str, float]]]) -> Iterator[int]:
    for end in range(UNCHANGED_LOOKS, len(updates) + 1):
        looked = updates[end - UNCHANGED_LOOKS : end]
        if any(all(sizes.get(name, 1.0) == 0 for _, sizes in looked) for name in looked[-1][1]):
            yield looked[-1][0]


def _dead(records: Sequence[Record]) -> Iterator[int]:
    for one in looks(records):
        if any(share > SILENT for share in (one.silent_units or {}).values()):
            yield one.step


def _not_decreasing(records: Sequence[Record]) -> Iterator[int]:
    losses = [(one.step, one.loss) for one in steps(records)]
    for before, (at, loss) in zip(losses, losses[LOSS_STEPS:], strict=False):
        if not loss < before[1] * (1 - LOSS_PERCENT / 100):
            yield at


def _overfit(records: Sequence[Record]) -> Iterator[int]:
    for one in evaluations(records):
        if one.train_loss and one.loss - one.train_loss > OVERFIT_RATIO * one.train_loss:
            yield one.step


def _overtraining(records: Sequence[Record]) -> Iterator[int]:
    best, without = math.inf, 0
    for one in evaluations(records):
        if one.loss < best - DELTA:
            best, without = one.loss, 0
        else:
            without += 1
        if without >= PATIENCE:
            yield one.step


def _imbalance(records: Sequence[Record]) -> Iterator[int]:
    counts = [count for count in started(records).class_counts.values() if count]
    if len(counts) < 2 or max(counts) <= IMBALANCE * min(counts):
        return
    for one in evaluations(records):
        if one.recalls and min(one.recalls.values()) < 1 - MISSED:
            yield one.step


def _not_normalized(records: Sequence[Record]) -> Iterator[int]:
    for one in looks(records):
        if one.input_mean is not None and abs(one.input_mean) > INPUT_MEAN:
            yield one.step

"""Sick runs whose fault shows when one looks inside: into modes, gradients, the optimizer, the loss, the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from traces import PLAIN, changed, healthy

from tunewell.inspections import Inspected, Tested
from tunewell.records import Eval, Record, Step

ONSET = 300
with_fields = msgspec.structs.replace


def _looks(
    records: list[Record], change: Callable[[Inspected], dict[str, Any]], first: int = ONSET
) -> list[Record]:
    """Return `records` with fields of the looks from update `first` on changed."""
    return [
        with_fields(record, **change(record))
        if isinstance(record, Inspected) and record.step >= first
        else record
        for record in records
    ]


def _always(first: int = ONSET, **fields: Any) -> Callable[[int], list[Record]]:
    """Return a healthy run whose looks from update `first` on show `fields`."""
    return lambda seed: _looks(healthy(seed), lambda look: fields, first)


def frozen_head(seed: int) -> list[Record]:
    """A new classifier that nobody trains."""
    return _looks(healthy(seed), lambda look: {"output_frozen": True}, 1)


def gradients_not_cleared(seed: int) -> list[Record]:
    """Each update adds to the gradients of all before it."""
    return _looks(healthy(seed), lambda look: {"stale_gradient": 3.0})


def training_in_evaluation_mode(seed: int) -> list[Record]:
    """After an evaluation nobody calls `train()`."""
    names = [f"layer.{index}.dropout" for index in range(13)]
    return _looks(healthy(seed), lambda look: {"in_evaluation": names})


def evaluation_in_training_mode(seed: int) -> list[Record]:
    """Nobody calls `eval()`."""
    return [
        with_fields(record, in_training=["dropout"])
        if isinstance(record, Eval) and record.step >= ONSET
        else record
        for record in healthy(seed)
    ]


def accumulation_not_divided(seed: int) -> list[Record]:
    """Two backward passes, and what they differentiate is twice the mean loss."""
    return _looks(healthy(seed), lambda look: {"objective": 2 * (look.mean_loss or 0)})


def dead_units(seed: int) -> list[Record]:
    """All units of a layer go silent."""
    return _looks(healthy(seed), lambda look: {"silent_units": {"layer.0.relu": 1.0, "layer.1.gelu": 0.0}})


def saturation(seed: int) -> list[Record]:
    """A tanh at its bounds in a run that learns nothing."""
    records = healthy(seed, replace(PLAIN, learned_at=10**6))
    return _looks(records, lambda look: {"saturated_units": {"pooler.tanh": 0.99}}, 1)


def bad_initialization(seed: int) -> list[Record]:
    """A head a hundred times too large: the first answers are sure and wrong."""
    records = healthy(seed, replace(PLAIN, start=20.0, gradient_start=30.0))
    return _looks(records, lambda look: {"output_gain": 55.0, "output_std": 30.0}, 1)


def epsilon_too_large(seed: int) -> list[Record]:
    """ε of 0.01: layers hardly move any more."""

    def crawl(step: Step) -> Step:
        updates = step.layer_updates and {name: ratio / 30 for name, ratio in step.layer_updates.items()}
        return with_fields(step, layer_updates=updates)

    return _looks(changed(healthy(seed), crawl, ONSET), lambda look: {"epsilon": 1e-2, "epsilon_share": 0.97})


def gradient_underflow(seed: int) -> list[Record]:
    """Half precision: most of the gradient is zero, and the rest is as small as numbers get."""
    layers = ["layer.0", "layer.1", "pooler", "classifier"]
    sick = {"zero_gradients": dict.fromkeys(layers, 0.7), "smallest_gradients": dict.fromkeys(layers, 0.4)}
    return _looks(healthy(seed), lambda look: sick)


def schedule_too_fast(seed: int) -> list[Record]:
    """From mid-run on the schedule ticks with each micro-batch, and the rate falls four times as fast."""

    def hurry(step: Step) -> Step:
        left = 450 - ONSET - 4 * (step.step - ONSET)
        return with_fields(step, learning_rate=max(0.0, left / 450 * PLAIN.peak))

    return _looks(changed(healthy(seed), hurry, ONSET), lambda look: {"schedule_ticks": 4})


def learning_rate_too_low(seed: int) -> list[Record]:
    """A rate a thousand times too low from the first update on."""

    def crawl(step: Step) -> Step:
        updates = step.layer_updates and {name: ratio / 1000 for name, ratio in step.layer_updates.items()}
        return with_fields(step, learning_rate=step.learning_rate / 1000, layer_updates=updates)

    return [
        record
        for record in changed(healthy(seed, replace(PLAIN, learned_at=10**6)), crawl)
        if not isinstance(record, Eval)
    ]


def no_warmup(seed: int) -> list[Record]:
    """The first updates at the full rate throw the loss up, and it comes down again."""

    def leap(step: Step) -> Step:
        jump = 2.5 * max(0.0, 1 - abs(step.step - 6) / 6) if step.step > 1 else 0.0
        return with_fields(step, loss=step.loss + jump)

    return changed(healthy(seed, replace(PLAIN, warmup=0, learned_at=8, pace=20.0)), leap)


def cannot_fit_a_batch(seed: int) -> list[Record]:
    """16 rows can't be learned by heart."""
    detail = "16 rows trained on again and again: loss 0.69 → 0.66 after 60 updates, and stands there."
    return [
        with_fields(record, passed=False, detail=detail)
        if isinstance(record, Tested) and record.name == "fits_one_batch"
        else record
        for record in healthy(seed)
    ]


def memory_growth(seed: int) -> list[Record]:
    """60 MB more with each update, which the rest of the run has no room for."""
    return _looks(
        healthy(seed), lambda look: {"memory_bytes": 8_000_000_000 + 60_000_000 * (look.step - ONSET)}
    )


SICK: dict[str, Callable[[int], list[Record]]] = {
    made.__name__: made
    for made in (
        frozen_head,
        gradients_not_cleared,
        training_in_evaluation_mode,
        evaluation_in_training_mode,
        accumulation_not_divided,
        dead_units,
        saturation,
        bad_initialization,
        epsilon_too_large,
        gradient_underflow,
        schedule_too_fast,
        learning_rate_too_low,
        no_warmup,
        cannot_fit_a_batch,
        memory_growth,
    )
} | {
    "double_softmax": _always(outputs_are_probabilities=True),
    "rank_divergence": _always(digests=["5f1c", "5f1c", "77aa", "5f1c"]),
    "disk_running_out": _always(disk_free=1_000_000_000),
}
"""A run that has the fault, by the name of its monitor; from step 300 on, or from the first."""

FROM_THE_START = {
    "saturation",
    "frozen_head",
    "bad_initialization",
    "learning_rate_too_low",
    "no_warmup",
    "cannot_fit_a_batch",
}
"""Those that are there from the first update on."""

LATEST = dict.fromkeys(SICK, 340) | {
    "frozen_head": 2,
    "saturation": 40,
    "bad_initialization": 1,
    "learning_rate_too_low": 140,
    "no_warmup": 40,
    "cannot_fit_a_batch": 2,
    "memory_growth": 460,
    "schedule_too_fast": 360,
    "gradients_not_cleared": 300,
    "training_in_evaluation_mode": 300,
    "evaluation_in_training_mode": 300,
    "double_softmax": 300,
    "rank_divergence": 300,
    "disk_running_out": 300,
}
"""Step by which each must be told."""

"""One sick run for each fault: the records of a healthy course with one thing wrong from a known step on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import msgspec
import sick_curves
import sick_data
import sick_inside
from traces import PLAIN, changed, healthy

from tunewell.records import Eval, Record, Step

ONSET = 300
with_fields = msgspec.structs.replace


def non_finite(seed: int) -> list[Record]:
    """A row of infinite loss, whose update the guard refused."""

    def bad(step: Step) -> Step:
        return with_fields(
            step, loss=math.inf, gradient_norm=math.nan, skipped=True, worst_rows=[(1204, math.inf)]
        )

    return changed(healthy(seed), bad, ONSET, ONSET)


def loss_spike(seed: int) -> list[Record]:
    """The loss jumps far above guessing and stays there."""
    rng = random.Random(seed)
    return changed(healthy(seed), lambda step: with_fields(step, loss=abs(rng.gauss(1.6, 0.4))), ONSET)


def divergence(seed: int) -> list[Record]:
    """Within 60 updates the model falls back to guessing, no batch standing out."""
    rng = random.Random(seed)

    def worse(step: Step) -> Step:
        share = min(1.0, (step.step - ONSET) / 60)
        return with_fields(step, loss=step.loss * (1 - share) + share * abs(rng.gauss(0.71, 0.04)))

    return changed(healthy(seed), worse, ONSET)


def exploding_gradient(seed: int) -> list[Record]:
    """Gradients fifty times their size, and a loss that rises with them."""

    def explode(step: Step) -> Step:
        return with_fields(step, gradient_norm=step.gradient_norm * 50, loss=step.loss + 0.15)

    return changed(healthy(seed), explode, ONSET)


def vanishing_gradient(seed: int) -> list[Record]:
    """Almost nothing reaches the two lowest layers, and they stand still."""

    def vanish(step: Step) -> Step:
        if step.layer_gradients is None or step.layer_updates is None:
            return step
        low = {"embeddings", "layer.0"}
        return with_fields(
            step,
            layer_gradients={
                name: norm * (1e-6 if name in low else 1) for name, norm in step.layer_gradients.items()
            },
            layer_updates={
                name: ratio * (1e-4 if name in low else 1) for name, ratio in step.layer_updates.items()
            },
        )

    return changed(healthy(seed), vanish, ONSET)


def parameters_not_updating(seed: int) -> list[Record]:
    """The optimizer does not know the head."""

    def stand_still(step: Step) -> Step:
        if step.layer_updates is None:
            return step
        return with_fields(step, layer_updates={**step.layer_updates, "classifier": 0.0})

    return changed(healthy(seed), stand_still, ONSET)


def learning_rate_too_high(seed: int) -> list[Record]:
    """The rate leaps a hundredfold; the loss goes back to guessing, no higher."""
    rng = random.Random(seed)

    def leap(step: Step) -> Step:
        updates = step.layer_updates and {name: ratio * 100 for name, ratio in step.layer_updates.items()}
        return with_fields(
            step,
            learning_rate=step.learning_rate * 100,
            loss=abs(rng.gauss(0.72, 0.06)),
            layer_updates=updates,
        )

    return changed(healthy(seed), leap, ONSET)


def underfitting(seed: int) -> list[Record]:
    """The layers move as they should, and the loss stays at that of guessing from the first update on."""
    records = healthy(seed, replace(PLAIN, learned_at=10**6))
    return [record for record in records if not isinstance(record, Eval)]


def overfitting(seed: int) -> list[Record]:
    """Few rows learned by heart: training loss to zero, validation loss up, accuracy slowly down."""

    def overfit(record: Record) -> Record:
        if not isinstance(record, Eval) or record.step < ONSET:
            return record
        beyond = (record.step - ONSET) // 50 + 1
        return with_fields(
            record,
            loss=0.4 * 1.25**beyond,
            train_loss=0.3 * 0.6**beyond,
            metrics={"accuracy": 0.84 - 0.01 * beyond},
        )

    return [overfit(record) for record in healthy(seed, replace(PLAIN, eval_every=50))]


def _standing_still(seed: int) -> list[Record]:
    def stand_still(record: Record) -> Record:
        if not isinstance(record, Eval):
            return record
        return with_fields(record, metrics={"accuracy": 0.6 + 0.001 * min(record.step, ONSET)})

    return [stand_still(record) for record in healthy(seed, replace(PLAIN, eval_every=20))]


def plateau(seed: int) -> list[Record]:
    """The score stops moving."""
    return _standing_still(seed)


def overtraining(seed: int) -> list[Record]:
    """No better evaluation any more."""
    return _standing_still(seed)


def stall(seed: int) -> list[Record]:
    """Each update waits for data."""

    def wait(step: Step) -> Step:
        return with_fields(step, seconds=step.seconds + 4, data_seconds=4.0)

    return changed(healthy(seed), wait, ONSET)


SICK: dict[str, Callable[[int], list[Record]]] = {
    made.__name__: made
    for made in (
        non_finite,
        loss_spike,
        divergence,
        exploding_gradient,
        vanishing_gradient,
        parameters_not_updating,
        learning_rate_too_high,
        underfitting,
        overfitting,
        plateau,
        overtraining,
        stall,
    )
}
"""A run that has the fault, by the name of its monitor; from step 300 on, underfitting from the first."""

SICK |= sick_curves.SICK | sick_data.SICK | sick_inside.SICK

LATEST = (
    {
        "non_finite": 300,
        "loss_spike": 310,
        "divergence": 375,
        "exploding_gradient": 310,
        "vanishing_gradient": 340,
        "parameters_not_updating": 340,
        "learning_rate_too_high": 310,
        "underfitting": 230,
        "overfitting": 450,
        "plateau": 360,
        "overtraining": 500,
        "stall": 320,
    }
    | sick_curves.LATEST
    | sick_data.LATEST
    | sick_inside.LATEST
)
"""Step by which each must be told."""

FROM_THE_START = {"underfitting", *sick_data.SICK, *sick_inside.FROM_THE_START}
"""Those that are there from the first update on."""

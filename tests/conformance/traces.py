"""Records of runs that never were: the shapes of real fine-tuning curves, seeded and made in milliseconds.

A row's loss is that of a logistic margin whose mean grows as the model learns, so that noise has its real shape:
tight around log(classes) before anything is learned, heavy-tailed for small batches, shrinking at convergence.
Levels, noise and the layers' profile follow MiniLM on movie-review snippets.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from healthy_data import checked, label_counts, reviewed
from healthy_inside import FIRST_LOOKS, inspected, tested

from tunewell.records import Eval, Record, StageBegan, Started, Step

LAYERS = ["embeddings", *(f"layer.{index}" for index in range(6)), "pooler", "classifier"]


@dataclass(frozen=True)
class Course:
    """What a made-up run is like; a plain healthy one by default."""

    steps: int = 500
    batch: int = 32
    classes: int = 2
    counts: tuple[int, ...] = (5000, 5000)
    peak: float = 1e-4
    warmup: int = 50
    learned_at: int = 30
    """Updates (in units of the peak rate) before the loss begins to fall."""
    pace: float = 40.0
    """Updates in which most is learned."""
    margin: float = 2.4
    """Mean margin of a row in the end; 8 is a loss near zero."""
    loss_scale: float = 1.0
    start: float = 0.0
    """Extra loss of the first updates, falling within `start_fall`."""
    start_fall: float = 15.0
    gradient_start: float = 1.0
    """Factor on the first gradients, falling likewise."""
    update: float = 7e-4
    """‖Δθ‖/‖θ‖ of the lowest layer at the peak rate."""
    eval_every: int = 100
    val_gap: float = 1.1
    """Validation loss beside the training loss."""
    val_loss_growth: float = 0.0
    """Relative growth of the validation loss an evaluation, while accuracy goes on rising."""
    restarts: int = 0
    bucket_noise: float = 0.0
    """Log-sigma of a factor on margin and gradient that lasts for 8 batches of like length."""
    frozen: tuple[str, ...] = ()
    stages: tuple[int, ...] = ()
    """First updates of later stages."""
    fingerprint: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.2


def healthy(seed: int, course: Course = Course()) -> list[Record]:
    """Return the records of a run of this course, without any fault."""
    return list(_records(random.Random(seed), course))


def _records(rng: random.Random, course: Course) -> Iterator[Record]:
    names = [str(index) for index in range(len(course.counts))]
    yield Started(
        run="made-up",
        recipe_hash="",
        data_hash="",
        fingerprint=course.fingerprint,
        total_steps=course.steps,
        batches_per_epoch=max(1, sum(course.counts) // course.batch),
        num_rows={"train": sum(course.counts), "validation": 800},
        trainable_parameters=1,
        total_parameters=1,
        num_classes=course.classes,
        class_counts=dict(zip(names, course.counts, strict=True)),
    )
    yield checked(course.counts)
    yield from tested(course.classes)
    yield _stage(course, 0)
    epoch = max(1, sum(course.counts) // course.batch)
    progress, since, best, bucket = 0.0, [], 0.0, 1.0
    validation = [rng.gauss(0, 1) for _ in range(800)]
    for step in range(1, course.steps + 1):
        rate = _rate(course, step)
        progress += rate / course.peak
        for stage, first in enumerate(course.stages, 1):
            if step == first:
                yield _stage(course, stage)
                progress *= 0.7  # newly trainable layers unsettle the model at first
        if step % 8 == 1:
            bucket = math.exp(rng.gauss(0, course.bucket_noise))
        shown = _step(rng, course, step, rate=rate, progress=progress, bucket=bucket)
        since.append(shown.loss)
        yield shown
        if step <= FIRST_LOOKS or shown.layer_gradients:
            yield inspected(
                course.batch, step, loss=shown.loss / course.loss_scale, classes=course.classes,
                learned=min(1.0, _margin(course, progress) / course.margin), frozen=course.frozen,
            )  # fmt: skip
        if step % epoch == 0:
            yield reviewed(sum(course.counts), step, step // epoch)
        if step % course.eval_every == 0:
            train_loss = sum(since) / len(since)
            evaluation = _evaluation(
                validation, course, step, progress=progress, train_loss=train_loss, best=best
            )
            best, since = max(best, evaluation.metrics["accuracy"]), []
            yield evaluation


def _stage(course: Course, stage: int) -> StageBegan:
    firsts = [1, *course.stages, course.steps + 1]
    return StageBegan(
        step=firsts[stage] - 1,
        stage=stage,
        name=f"stage {stage}",
        trainable_parameters=1,
        total_parameters=1,
        first_step=firsts[stage],
        last_step=firsts[stage + 1] - 1,
    )


def _rate(course: Course, step: int) -> float:
    if step <= course.warmup:
        return course.peak * step / (course.warmup + 1)
    length = (course.steps - course.warmup) / (course.restarts + 1)
    left = 1 - ((step - course.warmup - 1) % length) / length
    return course.peak * left


def _margin(course: Course, progress: float) -> float:
    return course.margin * (1 - math.exp(-max(0.0, progress - course.learned_at) / course.pace))


def _spread(middle: float) -> float:
    return 0.05 + min(0.7 * middle, 1.7)


def _step(
    rng: random.Random, course: Course, step: int, *, rate: float, progress: float, bucket: float
) -> Step:
    middle = _margin(course, progress) * bucket
    chance = math.log(course.classes) if course.classes > 1 else math.log(2)
    unit = chance / math.log(2) * course.loss_scale
    losses = [unit * math.log1p(math.exp(-rng.gauss(middle, _spread(middle)))) for _ in range(course.batch)]
    beginning = math.exp(-progress / course.start_fall)
    loss = sum(losses) / len(losses) + course.start * beginning
    learned = min(1.0, middle / 1.5)
    norm = (0.4 + learned * 9 * min(1.5, loss / unit)) * math.exp(rng.gauss(0, 0.45)) * bucket
    norm *= math.sqrt(max(1.0, 16 / course.batch)) * (1 + (course.gradient_start - 1) * beginning)
    worst = max(range(course.batch), key=losses.__getitem__)
    stands_out = losses[worst] > 0.5 * sum(losses)
    sampled = step % 20 == 0
    layers = [name for name in LAYERS if name not in course.frozen]
    return Step(
        step=step,
        cursor=step,
        epoch=step * course.batch / sum(course.counts),
        stage=sum(first <= step for first in course.stages),
        loss=loss,
        learning_rate=rate,
        gradient_norm=norm,
        max_grad_norm=1.0,
        rows=course.batch,
        tokens=course.batch * 30,
        seconds=course.seconds * math.exp(rng.gauss(0, 0.3)) * (4 if rng.random() < 0.01 else 1),
        data_seconds=0.001,
        layer_gradients=_layers(rng, layers, norm * 0.4, 0.85) if sampled else None,
        layer_updates=_layers(rng, layers, course.update * rate / course.peak, 1.1) if sampled else None,
        worst_rows=[(step * course.batch + worst, losses[worst])] if stands_out else [],
        label_counts=label_counts(course.counts, course.batch, step) if course.classes > 1 else None,
    )


def _layers(rng: random.Random, names: list[str], size: float, fall: float) -> dict[str, float]:
    return {name: size * fall**index * math.exp(rng.gauss(0, 0.2)) for index, name in enumerate(names)}


def _evaluation(
    rows: list[float], course: Course, step: int, *, progress: float, train_loss: float, best: float
) -> Eval:
    middle = _margin(course, progress)
    margins = [0.9 * middle + _spread(middle) * row for row in rows]
    chance = math.log(max(2, course.classes))
    grown = course.val_gap * (1 + course.val_loss_growth) ** (step // course.eval_every)
    loss = chance / math.log(2) * grown * sum(math.log1p(math.exp(-margin)) for margin in margins) / 800
    majority = max(course.counts) / sum(course.counts)
    accuracy = max(majority, sum(margin > 0 for margin in margins) / 800)
    accuracy += 0.004 * (step // course.eval_every) if course.val_loss_growth else 0.0
    return Eval(
        step=step,
        epoch=step * course.batch / sum(course.counts),
        split="validation",
        loss=loss,
        metrics={"accuracy": min(1.0, accuracy)},
        rows=800,
        seconds=2.0,
        train_loss=train_loss,
        best=accuracy > best,
        in_training=[],
        **_by_class(course, min(1.0, accuracy)),
    )


def _by_class(course: Course, accuracy: float) -> dict[str, Any]:
    """Return recalls, rows and confusion that agree with `accuracy`; wrong answers go to the next class."""
    width = len(course.counts)
    if width < 2 or course.classes < 2:
        return {}
    names, rows = [str(index) for index in range(width)], max(1, 800 // width)
    right = round(rows * accuracy)
    confusion = [[0] * width for _ in names]
    for place, row in enumerate(confusion):
        row[place] = right
        row[(place + 1) % width] += rows - right
    return {
        "recalls": dict.fromkeys(names, right / rows),
        "class_rows": dict.fromkeys(names, rows),
        "confusion": confusion if width <= 50 else None,
    }


PLAIN = Course()
HEALTHY = {
    "plain": PLAIN,
    "long warm-up": replace(PLAIN, warmup=150),
    "batches of one row": replace(PLAIN, batch=1, pace=100.0),
    "batches of two rows": replace(PLAIN, batch=2),
    "hard task, batches of one row": replace(PLAIN, batch=1, margin=0.9, pace=100.0),
    "slow to begin": replace(PLAIN, learned_at=60, pace=80.0),
    "early convergence": replace(PLAIN, margin=8.0, steps=700),
    "validation loss rises with accuracy": replace(PLAIN, steps=900, val_loss_growth=0.06),
    "two stages": replace(PLAIN, stages=(180,), gradient_start=3.0),
    "warm restarts": replace(PLAIN, restarts=3, steps=700),
    "dropout: validation below training": replace(PLAIN, val_gap=0.7, margin=1.6),
    "batches by length": replace(PLAIN, bucket_noise=0.3),
    "one class only": replace(PLAIN, classes=1, counts=(200,), steps=100),
    "fresh head": replace(PLAIN, start=2.0, gradient_start=40.0, learned_at=5),
    "from scratch": replace(PLAIN, update=1.5e-2, start=0.008, start_fall=200.0, learned_at=70),
    "frozen layers": replace(PLAIN, frozen=("embeddings", "layer.0", "layer.1")),
    "unequal classes": replace(PLAIN, counts=(9500, 500), learned_at=5, margin=5.0),
    "77 classes": replace(PLAIN, classes=77, counts=(130,) * 77, steps=700, pace=90.0),
    "no classes": replace(PLAIN, classes=0, counts=(9000,)),
    "weighted loss": replace(PLAIN, loss_scale=10.0),
    "label smoothing": replace(PLAIN, margin=1.3, start=0.02),
    "four rows, two epochs": replace(PLAIN, batch=1, counts=(2, 2), steps=8, warmup=0, eval_every=4),
    "quick steps on a busy machine": replace(PLAIN, seconds=0.004),
}
"""Look-alikes of faults that are none."""


def changed(
    records: list[Record], change: Callable[[Step], Step], first: int = 1, last: int = 10**9
) -> list[Record]:
    """Return `records` with every update from `first` to `last` changed."""
    return [
        change(record) if isinstance(record, Step) and first <= record.step <= last else record
        for record in records
    ]


def with_spike(records: list[Record], step: int, factor: float) -> list[Record]:
    """Return `records` with the loss and gradient of one update multiplied; it heals at once."""

    def spike(record: Step) -> Step:
        return msgspec.structs.replace(
            record, loss=record.loss * factor, gradient_norm=record.gradient_norm * factor
        )

    return changed(records, spike, step, step)


def with_harder_rows(records: list[Record], first: int, factor: float = 1.5) -> list[Record]:
    """Return `records` as a curriculum has them: from `first` on, each batch costs more."""
    return changed(records, lambda record: msgspec.structs.replace(record, loss=record.loss * factor), first)

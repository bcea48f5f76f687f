"""The training script that every fault is planted in: a plain PyTorch loop like a user's, watched in three lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor, nn

from benchmarks.faultbench.training import Rows, Training


class Watching(Protocol):
    """What the loop calls of `tunewell.watch`'s answer."""

    should_stop: bool

    def loss(self, loss: Tensor, *, rows: Sequence[int] | None = None) -> Tensor: ...
    def evaluated(
        self, loss: float, metrics: dict[str, float] | None = None, *, targets: Tensor | None = None,
        predictions: Tensor | None = None,
    ) -> None: ...  # fmt: skip
    def batches(self, order: Iterable[Sequence[int]]) -> Iterator[list[int]]: ...


class Unwatched:
    """Nobody looks on."""

    should_stop = False

    def loss(self, loss: Tensor, *, rows: Sequence[int] | None = None) -> Tensor:
        return loss

    def evaluated(
        self, loss: float, metrics: dict[str, float] | None = None, *, targets: Tensor | None = None,
        predictions: Tensor | None = None,
    ) -> None:  # fmt: skip
        return None

    def batches(self, order: Iterable[Sequence[int]]) -> Iterator[list[int]]:
        return (list(rows) for rows in order)


def train(
    training: Training,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    watch: Watching,
) -> None:
    """Make every update, and evaluate every now and then."""
    model = training.model
    criterion = training.train_criterion or training.criterion
    evaluate(training, watch)
    model.train(training.mode_while_training)
    batches = islice(watch.batches(training.batches()), training.steps)
    for step, rows in enumerate(batches, start=1):
        _call(training.before_step, step)
        for part in _micro_batches(rows, training.micro_batches):
            inputs, targets = training.train[part]
            with precision(training):
                outputs = model(inputs)
            if training.weights is None:
                loss = criterion(outputs, targets)
            else:
                loss = (criterion(outputs, targets, reduction="none") * training.weights[part]).mean()
            if training.divided:
                loss = loss / training.micro_batches
            for change in training.before_backward:
                loss = change(step, loss)
            watch.loss(loss, rows=part)
            loss.backward()
            _call(training.after_backward, step)
            if training.ticks == "micro_batch":
                schedule.step()
        _call(training.before_update, step)
        if training.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), training.max_grad_norm)
        optimizer.step()
        if training.ticks == "update":
            schedule.step()
        if training.cleared:
            optimizer.zero_grad()
        if step % training.evaluate_every == 0:
            evaluate(training, watch)
            model.train(training.mode_while_training)
        if watch.should_stop:
            return


def evaluate(training: Training, watch: Watching) -> None:
    """Measure on the validation rows and tell `watch`."""
    outputs = predict(training, training.validation)
    targets = training.validation.targets
    loss = training.criterion(outputs, targets).item()
    classes = {"targets": targets, "predictions": outputs.argmax(-1)} if training.num_classes else {}
    watch.evaluated(loss, {training.metric: training.score(outputs, targets)}, **classes)


@torch.no_grad()
def predict(training: Training, rows: Rows) -> Tensor:
    """Return the model's outputs for `rows`, as the script computes them (in the mode that it evaluates in)."""
    training.model.train(training.mode_while_evaluating)
    with precision(training):
        parts = [training.model(inputs) for inputs in rows.inputs.split(256)]
    return torch.cat(parts).float()


def precision(training: Training) -> AbstractContextManager[None]:
    """Return the context in which the model is called."""
    return torch.autocast("cpu", torch.bfloat16, enabled=training.autocast)


def _micro_batches(rows: Sequence[int], count: int) -> list[list[int]]:
    size = -(-len(rows) // count)
    return [list(rows[i : i + size]) for i in range(0, len(rows), size)]


def _call(hooks: Iterable, step: int) -> None:  # type: ignore[type-arg]
    for hook in hooks:
        hook(step)

"""The 12 healthy variants: runs that look odd and are well. Each changes a `Training` as a fault does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faultbench.bases._parts import IGNORED
from benchmarks.faultbench.training import Draw, Rows, Training

Change = Callable[[Training, Draw], None]
HEALTHY: dict[str, Change] = {}


def healthy(change: Change) -> Change:
    """Enter a function into `HEALTHY`."""
    HEALTHY[change.__name__] = change
    return change


@healthy
def warm_restarts(training: Training, draw: Draw) -> None:
    """The rate falls and jumps back to its peak, three times."""
    cycle = math.ceil(training.steps / 3)
    usual = training.usual_factor

    def factor(step: int) -> float:
        return (
            usual(step) if step < training.warmup else 0.5 * (1 + math.cos(math.pi * (step % cycle) / cycle))
        )

    training.factor = factor


@healthy
def long_warmup(training: Training, draw: Draw) -> None:
    """The rate rises over 30 % of the run."""
    training.warmup = round(0.3 * training.steps)


@healthy
def batches_of_two(training: Training, draw: Draw) -> None:
    """Two rows make an update, at a rate that suits them, for four times as many updates."""
    training.batch_size = 2
    training.rate /= 4
    training.steps *= 4
    training.evaluate_every *= 4


@healthy
def adapters(training: Training, draw: Draw) -> None:
    """Only rank-8 adapters are trained."""
    assert training.adapted is not None, "the base lists this variant as meaningless"
    training.adapted(training)


@healthy
def label_smoothing(training: Training, draw: Draw) -> None:
    """Targets are smoothed, so that the validation loss is below the training loss."""

    def smoothed(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
        vocabulary = outputs.shape[-1]
        return F.cross_entropy(
            outputs.reshape(-1, vocabulary), targets.flatten(), ignore_index=IGNORED, label_smoothing=0.1
        )

    training.train_criterion = smoothed


@healthy
def much_dropout(training: Training, draw: Draw) -> None:
    """Half of the units are dropped."""
    for module in training.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5


@healthy
def healing_spike(training: Training, draw: Draw) -> None:
    """One batch's loss is three times what it should be, and the run goes on as if nothing had been."""
    onset = draw.onset()
    training.before_backward.append(lambda step, loss: loss * 3 if step == onset else loss)


@healthy
def curriculum(training: Training, draw: Draw) -> None:
    """The easier half of the rows alone for 40 % of the run, then all: the loss jumps."""
    assert training.easiness is not None
    easy = training.easiness.argsort(descending=True)[: training.train.count // 2].tolist()

    def order() -> Iterator[list[int]]:
        for _ in range(round(0.4 * training.steps)):
            yield draw.random.sample(easy, training.batch_size)
        yield from training.shuffled()

    training.order = order


@healthy
def sparse_relu(training: Training, draw: Draw) -> None:
    """Biases before ReLUs begin below 0: most units are silent for most rows, and those that speak are enough."""
    with torch.no_grad():
        for name in training.biases:
            training.model.get_parameter(name).sub_(0.5)


@healthy
def bf16(training: Training, draw: Draw) -> None:
    """Products are computed in 16 bits."""
    training.autocast = True


@healthy
def early_convergence(training: Training, draw: Draw) -> None:
    """An easy task is learned in a fraction of the run: two classes, or twice the updates."""
    if not training.num_classes:
        training.steps *= 2
        return
    for name in ("train", "validation", "test"):
        rows: Rows = getattr(training, name)
        setattr(training, name, rows[rows.targets < 2])


@healthy
def rising_loss(training: Training, draw: Draw) -> None:
    """A twelfth of the validation targets are wrong, and the model grows sure: loss and accuracy rise together."""
    rows = draw.rows(training.validation.count, 1 / 12)
    targets = training.validation.targets.clone()
    targets[rows] = targets[rows].roll(1, 0)
    training.validation = Rows(training.validation.inputs, targets)
    training.decay = "constant"
    training.weight_decay = 0.0
    for module in training.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0

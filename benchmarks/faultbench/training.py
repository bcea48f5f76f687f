"""What a user's script holds when its loop begins: model, rows, settings. A fault or a healthy variant changes some of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Rows(NamedTuple):
    """Inputs and targets, rows first."""

    inputs: Tensor
    targets: Tensor

    def __getitem__(self, rows: object) -> Rows:  # type: ignore[override]
        return Rows(self.inputs[rows], self.targets[rows])  # type: ignore[index]

    @property
    def count(self) -> int:
        return len(self.targets)


class Criterion(Protocol):
    """Outputs and targets → the batch's mean loss, or with ``reduction="none"`` the mean loss of each row, (rows,)."""

    def __call__(self, outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor: ...


Score = Callable[[Tensor, Tensor], float]
"""Outputs and targets → one number, the higher the better."""
Hook = Callable[[int], None]
"""Gets the update under way, from 1."""


@dataclass
class Training:
    """A fine-tuning script before its first update. Faults are small changes of it; the loop does the rest."""

    model: nn.Module
    train: Rows
    validation: Rows
    test: Rows
    criterion: Criterion
    score: Score
    metric: str
    """Name of what `score` measures."""
    steps: int
    batch_size: int
    rate: float
    optimizer_kind: str
    """``sgd`` (momentum 0.9), ``adam`` or ``adamw``."""
    head: str
    """Name of the output layer."""
    first_block: str
    """Name of the module that sees the inputs first."""
    middle: str
    """Name of a module between the two."""
    biases: tuple[str, ...] = ()
    """Names of the parameters that are added right before a ReLU."""
    num_classes: int = 0
    """0: no classes (tokens or numbers are predicted)."""
    warmup: int = 0
    decay: str = "cosine"
    """``cosine`` or ``constant``, after the warm-up."""
    micro_batches: int = 1
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    max_grad_norm: float | None = None
    evaluate_every: int = 10
    easiness: Tensor | None = None
    """How easy each training row is, (rows,), for a curriculum."""
    adapted: Callable[[Training], None] | None = None
    """Makes adapters of it, for the healthy variant."""
    seed: int = 0
    order: Callable[[], Iterator[list[int]]] | None = None
    """Endless batches of row ids; None: shuffled anew in each epoch."""
    optimized: list[nn.Parameter] | None = None
    """What the optimizer gets; None: all parameters of the model."""
    train_criterion: Criterion | None = None
    """Loss that is trained on, where it is not the one that is evaluated."""
    autocast: bool = False
    before_step: list[Hook] = field(default_factory=list)
    before_backward: list[Callable[[int, Tensor], Tensor]] = field(default_factory=list)
    """Get the update and the loss, return the loss."""
    after_backward: list[Hook] = field(default_factory=list)
    """Called after each backward pass, of which an update has `micro_batches`."""
    before_update: list[Hook] = field(default_factory=list)
    """Called when the gradients of an update are complete, before they are clipped."""
    factor: Callable[[int], float] | None = None
    """Schedule: update (from 0) → factor of the rate; None: warm-up, then `decay`."""
    divided: bool = True
    """The loss of a micro-batch is divided by their number."""
    cleared: bool = True
    """Gradients are cleared after each update."""
    ticks: str = "update"
    """When the schedule moves on: after each ``update`` or each ``micro_batch``."""
    mode_while_training: bool = True
    """What `model.train` is called with."""
    mode_while_evaluating: bool = False
    weights: Tensor | None = None
    """Weight of each training row's loss; None: 1."""

    def module(self, name: str) -> nn.Module:
        """Return the module of the model by its name."""
        return self.model.get_submodule(name)

    @property
    def epoch_steps(self) -> int:
        """Updates in which every row was seen once."""
        return math.ceil(self.train.count / self.batch_size)

    def batches(self) -> Iterator[list[int]]:
        """Return the row ids of each update, endlessly."""
        return self.order() if self.order else self.shuffled()

    def shuffled(self) -> Iterator[list[int]]:
        """Return batches of rows in a random order, drawn anew in each epoch."""
        draw = random.Random(self.seed)
        while True:
            rows = list(range(self.train.count))
            draw.shuffle(rows)
            yield from (rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size))

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer that the settings ask for."""
        parameters = self.optimized or list(self.model.parameters())
        if self.optimizer_kind == "sgd":
            return torch.optim.SGD(parameters, lr=self.rate, momentum=0.9, weight_decay=self.weight_decay)
        kind = torch.optim.AdamW if self.optimizer_kind == "adamw" else torch.optim.Adam
        return kind(parameters, lr=self.rate, eps=self.epsilon, weight_decay=self.weight_decay)

    def build_schedule(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """Return the schedule of `optimizer`'s rate."""
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self.factor or self.usual_factor)

    def usual_factor(self, step: int) -> float:
        """Return what the rate is multiplied by at update `step`, from 0: a linear rise, then a cosine to 0."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.decay == "constant":
            return 1.0
        share = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return 0.5 * (1 + math.cos(math.pi * share))


class Draw:
    """The random choices of one injection: seeded, so that each arm of a run meets the same fault."""

    def __init__(self, seed: int, magnitude: float, steps: int, varied: bool = False) -> None:
        self.random = random.Random(f"fault {seed}")
        self.magnitude = magnitude
        self.varied = varied
        self._steps = steps

    def onset(self) -> int:
        """Return an update in the second quarter of the run."""
        return round(self._steps * self.random.uniform(0.25, 0.5))

    def rows(self, count: int, share: float) -> list[int]:
        """Return `share` of the row ids below `count`."""
        return sorted(self.random.sample(range(count), round(share * count)))

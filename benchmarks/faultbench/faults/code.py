"""Faults of code: what a line left out or in the wrong place does."""

from __future__ import annotations

import copy

import torch
from torch import nn

from benchmarks.faultbench.bases._parts import IGNORED
from benchmarks.faultbench.faults import When, fault
from benchmarks.faultbench.training import Draw, Rows, Training


@fault(13, "parameters_not_updating", When.SETTING)
def optimizer_before_head(training: Training, draw: Draw) -> None:
    """The optimizer was built before the head was replaced: it trains a head that nobody uses."""
    training.optimized = list(training.model.parameters())
    head = copy.deepcopy(training.module(training.head))
    nn.init.normal_(head.weight, std=0.02)  # type: ignore[arg-type]
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    training.model.set_submodule(training.head, head)


@fault(14, "frozen_head", When.SETTING)
def head_frozen(training: Training, draw: Draw) -> None:
    """The head's parameters ask for no gradient."""
    training.module(training.head).requires_grad_(False)


@fault(15, "gradients_not_cleared", When.SETTING)
def no_zero_grad(training: Training, draw: Draw) -> None:
    """Gradients are never cleared."""
    training.cleared = False


@fault(16, "training_in_evaluation_mode", When.SETTING)
def eval_while_training(training: Training, draw: Draw) -> None:
    """The model stays in evaluation mode while it is trained."""
    training.mode_while_training = False


@fault(17, "evaluation_in_training_mode", When.SETTING)
def dropout_at_evaluation(training: Training, draw: Draw) -> None:
    """The model, half of its units dropped, stays in training mode while it is evaluated."""
    for module in training.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    training.mode_while_evaluating = True


@fault(18, "double_softmax", When.SETTING)
def double_softmax(training: Training, draw: Draw) -> None:
    """The model ends with a softmax, and the loss applies another."""
    if draw.varied:
        plain = training.criterion
        training.criterion = lambda outputs, targets, *, reduction="mean": plain(
            outputs.softmax(-1), targets, reduction=reduction
        )
    else:
        head = training.module(training.head)
        training.model.set_submodule(training.head, nn.Sequential(head, nn.Softmax(-1)))


@fault(19, "shifted_labels", When.SETTING)
def shifted_labels(training: Training, draw: Draw) -> None:
    """Targets are shifted by one: by a row, or (of tokens) once more by a token."""
    training.train, training.validation = _shifted(training.train), _shifted(training.validation)


@fault(20, "dead_units", When.SETTING, magnitude=(-10, -30, -5))
def dead_relu(training: Training, draw: Draw) -> None:
    """Biases before ReLUs begin at -10, so that the units give 0 for every row."""
    with torch.no_grad():
        for name in training.biases:
            training.model.get_parameter(name).fill_(draw.magnitude)


@fault(21, "bad_initialization", When.SETTING, magnitude=(100, 30, 300))
def large_head(training: Training, draw: Draw) -> None:
    """The head's weights begin 100 times too large."""
    with torch.no_grad():
        training.model.get_parameter(f"{training.head}.weight").mul_(draw.magnitude)


@fault(22, "accumulation_not_divided", When.SETTING, magnitude=(8, 4, 16))
def accumulation_not_divided(training: Training, draw: Draw) -> None:
    """Gradients of 8 micro-batches are added up, each that of a mean loss."""
    training.micro_batches = round(draw.magnitude)
    training.divided = False


def _shifted(rows: Rows) -> Rows:
    if rows.targets.ndim == 1:
        return Rows(rows.inputs, rows.targets.roll(1))
    targets = rows.targets.roll(-1, dims=1)
    targets[:, -1] = IGNORED
    return Rows(rows.inputs, targets)

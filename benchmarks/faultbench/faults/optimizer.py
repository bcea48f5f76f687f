"""Faults of rates, schedules and gradients."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.faultbench.faults import Injected, When, fault
from benchmarks.faultbench.training import Draw, Training


@fault(1, "learning_rate_too_high", When.SETTING, magnitude=(30, 10, 100))
def rate_times_30(training: Training, draw: Draw) -> None:
    """The learning rate is 30 times too high."""
    training.rate *= draw.magnitude


@fault(2, "learning_rate_too_low", When.SETTING, magnitude=(1e-3, 1e-4, 1e-2))
def rate_times_thousandth(training: Training, draw: Draw) -> None:
    """The learning rate is a thousandth of what it should be."""
    training.rate *= draw.magnitude


@fault(3, "no_warmup", When.SETTING)
def no_warmup(training: Training, draw: Draw) -> None:
    """The warm-up that the model needs was left out."""
    training.warmup = 0


@fault(4, "schedule_too_fast", When.SETTING, magnitude=(4, 3, 8))
def schedule_per_micro_batch(training: Training, draw: Draw) -> None:
    """The schedule moves on after each of 4 micro-batches, so that the rate is 0 after a quarter of the run."""
    training.micro_batches = round(draw.magnitude)
    training.ticks = "micro_batch"


@fault(5, "non_finite", When.EVENT)
def infinite_gradient(training: Training, draw: Draw) -> Injected:
    """One number of one gradient is infinite in one update."""
    onset = draw.onset()

    def change(gradient: Tensor) -> Tensor:
        changed = gradient.clone()
        changed.view(-1)[0] = math.inf
        return changed

    _change_gradients(training, training.middle, change, lambda step: step == onset)
    return Injected(onset)


@fault(6, "non_finite", When.EVENT)
def log_of_zero(training: Training, draw: Draw) -> Injected:
    """Rows are weighted by -log(frequency), and one row's frequency is 0."""
    row = draw.random.randrange(training.train.count)
    frequencies = torch.full((training.train.count,), math.exp(-1))
    frequencies[row] = 0.0
    training.weights = -torch.log(frequencies)
    onset = next(step for step, rows in enumerate(training.batches(), start=1) if row in rows)
    return Injected(onset)


@fault(7, "loss_spike", When.EVENT, magnitude=(50, 20, 100))
def batch_times_50(training: Training, draw: Draw) -> Injected:
    """The loss of one batch is 50 times what it should be."""
    onset = draw.onset()
    training.before_backward.append(lambda step, loss: loss * draw.magnitude if step == onset else loss)
    return Injected(onset)


@fault(8, "learning_rate_too_high", When.EVENT, magnitude=(100, 30, 300))
def rate_jump(training: Training, draw: Draw) -> Injected:
    """From some update on the schedule gives 100 times the rate."""
    onset, usual = draw.onset(), training.factor or training.usual_factor
    training.factor = lambda step: usual(step) * (draw.magnitude if step + 1 >= onset else 1)
    return Injected(onset)


@fault(9, "exploding_gradient", When.EVENT, magnitude=(100, 30, 300))
def layer_gradient_times_100(training: Training, draw: Draw) -> Injected:
    """From some update on one layer's gradient is 100 times what it should be."""
    onset = draw.onset()
    _change_gradients(training, training.middle, lambda g: g * draw.magnitude, lambda step: step >= onset)
    return Injected(onset)


@fault(10, "vanishing_gradient", When.SETTING, magnitude=(1e-6, 1e-8, 1e-5))
def first_gradient_times_millionth(training: Training, draw: Draw) -> None:
    """The first block's gradient is a millionth of what it should be."""
    _change_gradients(training, training.first_block, lambda g: g * draw.magnitude, lambda step: True)


@fault(11, "gradient_underflow", When.SETTING, magnitude=(0.9999, 0.999, 0.99999))
def underflow(training: Training, draw: Draw) -> None:
    """Gradients pass through 16 bits without a scaled loss: all but one in 10,000 of the first are below 2^-24 of their unit, so 0."""
    unit = 2.0**24 * _size_of_gradients(training, draw.magnitude)
    _change_gradients(training, "", lambda g: (g / unit).half().float() * unit, lambda step: True)


@fault(12, "epsilon_too_large", When.SETTING, magnitude=(1e-2, 3e-3, 1e-1))
def large_epsilon(training: Training, draw: Draw) -> None:
    """Adam's ε is 0.01."""
    training.epsilon = draw.magnitude


def _change_gradients(
    training: Training, module: str, change: Callable[[Tensor], Tensor], is_due: Callable[[int], bool]
) -> None:
    """Change what the backward pass gives the parameters of `module` in the updates that `is_due` tells."""
    step = 0

    def begin(now: int) -> None:
        nonlocal step
        step = now

    training.before_step.append(begin)
    for parameter in training.module(module).parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient: change(gradient) if is_due(step) else gradient)


def _size_of_gradients(training: Training, share: float) -> float:
    """Return the size under which `share` of the gradients of the first batch lie; zeros are left out."""
    model = copy.deepcopy(training.model).eval()
    inputs, targets = training.train[next(training.batches())]
    training.criterion(model(inputs), targets).backward()
    sizes = torch.cat([p.grad.abs().flatten() for p in model.parameters() if p.grad is not None])
    sizes = sizes[sizes > 0].sort().values
    return sizes[int(share * (len(sizes) - 1))].item()

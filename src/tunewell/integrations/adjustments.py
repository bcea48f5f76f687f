"""What actions change about the updates of somebody else's loop: gradients and rates, just before each update."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunewell.integrations.update import Update
from tunewell.probes.gradients import GradientNorms, values
from tunewell.probes.layers import Layers

WARM = 0.1
"""Share of the rate that a new warm-up begins with."""


class Adjustments:
    """What has been asked for so far; nothing of it rewinds. As it is made, it changes nothing.

    The rate is changed in the optimizer for the one update only and put back behind it, so that a schedule neither
    sees nor overwrites the change.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.refuses = False
        """An update that is not finite is not made."""
        self.rate_factor = 1.0
        self.warms_from: int | None = None
        """Step behind which a new warm-up began; None: there is none."""
        self.warms_for = 0
        self.stretch = 1.0
        """How many times slower the schedule runs than its own steps do."""
        self.max_grad_norm: float | None = None
        self.layer_bounds: dict[str, float] = {}
        self.divisor = 1.0
        """What the gathered gradient is divided by; 0: by the backward passes made."""
        self.loss_factor = 1.0
        self.clears = False
        self.failed = ""
        """What was asked for and did not come about at the last update, in words."""
        self._rates_seen: list[array[float]] = []
        self._own_rates: list[tuple[object, object]] = []

    # The backward pass.

    def note_rates(self) -> None:
        """Note the schedule's rates at a backward pass: a schedule that runs too fast is read ahead this way."""
        for place, group in enumerate(self._optimizer.param_groups):
            rate = float(group["lr"])
            if place == len(self._rates_seen):
                before = len(self._rates_seen[0]) if self._rates_seen else 0
                self._rates_seen.append(array("d", [rate] * before))
            self._rates_seen[place].append(rate)

    def scale_gathered(self, parameters: Mapping[str, nn.Parameter], factor: float) -> None:
        """Multiply all gradients by `factor`, a power of two, so that they can be added to those of a scaled loss."""
        gradients = [grad for parameter in parameters.values() if (grad := values(parameter)) is not None]
        if gradients:
            torch._foreach_mul_(gradients, factor)

    # The update.

    def before(self, update: Update, parameters: Mapping[str, nn.Parameter], layers: Layers) -> None:
        """Refuse the update, or change gradients and rates for it."""
        self.failed = ""
        if self.refuses and update.norms is not None and not bool(torch.isfinite(update.norms.total)):
            for group in self._optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None
            update.skipped = True
            return
        divisor = self.divisor or float(len(update.passes))
        if divisor != 1.0:
            self.scale_gathered(parameters, 1 / divisor)
            update.divisor = divisor
            update.norms = GradientNorms(parameters)
        if self.layer_bounds or self.max_grad_norm is not None:
            norms = GradientNorms(parameters)
            norms.clip_layers(self.layer_bounds, layers.of)
            if self.max_grad_norm is not None:
                norms.clip(self.max_grad_norm)
                update.max_grad_norm = self.max_grad_norm
        self._set_rates(update.step)

    def after(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Put the schedule's rates back, and clear gradients where nobody else does."""
        for group, (own, ours) in zip(self._optimizer.param_groups, self._own_rates, strict=False):
            if group["lr"] is ours:
                group["lr"] = own
            else:
                self.failed = "something else set the rate between the update's beginning and its end"
        self._own_rates = []
        if self.clears:
            for parameter in parameters.values():
                parameter.grad = None

    def factor_at(self, step: int) -> float:
        """Return what the schedule's rate is multiplied by at update `step`, a slower schedule left out."""
        factor = self.rate_factor
        if self.warms_from is not None and step - self.warms_from <= self.warms_for:
            done = (step - self.warms_from - 1) / self.warms_for
            factor *= WARM + (1 - WARM) * max(0.0, done)
        return factor

    def scheduled(self) -> list[float | Tensor]:
        """Return each group's rate as the schedule makes it, slowed down where that was asked for."""
        now = [group["lr"] for group in self._optimizer.param_groups]
        if self.stretch == 1.0 or not self._rates_seen:
            return now
        slowed: list[float | Tensor] = []
        for place, rate in enumerate(now):
            seen = self._rates_seen[min(place, len(self._rates_seen) - 1)]
            earlier = seen[int((len(seen) - 1) / self.stretch)]
            slowed.append(torch.full_like(rate, earlier) if isinstance(rate, Tensor) else earlier)
        return slowed

    def _set_rates(self, step: int) -> None:
        factor = self.factor_at(step)
        if factor == 1.0 and self.stretch == 1.0:
            return
        scheduled = self.scheduled()
        for group, rate in zip(self._optimizer.param_groups, scheduled, strict=True):
            ours = rate * factor
            self._own_rates.append((group["lr"], ours))
            group["lr"] = ours


def is_no_bound(value: float) -> bool:
    """Return whether clipping at `value` means none."""
    return math.isinf(value) and value > 0

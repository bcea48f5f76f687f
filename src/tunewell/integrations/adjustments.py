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
        self.total_steps: int | None = None
        """Updates of the whole run; None: nobody said."""
        self.began_behind = 0
        """Update behind which the training began anew: the whole schedule fits into what is left since then."""
        self.layer_factors: dict[str, float] = {}
        """By layer what its gradient is multiplied by before each update."""
        self.weight_decay = 0.0
        """What is decayed beside the optimizer's own decay, as in AdamW; of matrices alone."""
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
        for name, parameter in parameters.items():
            factor = self.layer_factors.get(layers.of[name], 1.0)
            if factor != 1.0 and (gradient := values(parameter)) is not None:
                gradient.mul_(factor)
        if self.layer_bounds or self.max_grad_norm is not None:
            norms = GradientNorms(parameters)
            norms.clip_layers(self.layer_bounds, layers.of)
            if self.max_grad_norm is not None:
                norms.clip(self.max_grad_norm)
                update.max_grad_norm = self.max_grad_norm
        self._set_rates(update.step)
        self._decay()

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

    def scheduled(self, step: int) -> list[float | Tensor]:
        """Return each group's rate at update `step` as the schedule makes it, slowed down or begun anew where that was
        asked for: it is never further than the loop's own, so that its rate was seen already."""
        now = [group["lr"] for group in self._optimizer.param_groups]
        share = self._share_passed(step) / self.stretch
        if share == 1.0 or not self._rates_seen:
            return now
        slowed: list[float | Tensor] = []
        for place, rate in enumerate(now):
            seen = self._rates_seen[min(place, len(self._rates_seen) - 1)]
            earlier = seen[math.floor(round((len(seen) - 1) * share, 6))]
            slowed.append(torch.full_like(rate, earlier) if isinstance(rate, Tensor) else earlier)
        return slowed

    def _decay(self) -> None:
        if not self.weight_decay:
            return
        for group in self._optimizer.param_groups:
            keep = 1 - min(1.0, float(group["lr"]) * self.weight_decay)
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.dim() >= 2:
                    parameter.mul_(keep)

    def _share_passed(self, step: int) -> float:
        """Return how far a schedule that began anew is at update `step`, beside the one that did not."""
        made, lost = step - 1, self.began_behind
        if not lost or self.total_steps is None or not lost <= made < self.total_steps:
            return 1.0
        return (made - lost) / (self.total_steps - lost) * self.total_steps / made

    def _set_rates(self, step: int) -> None:
        factor = self.factor_at(step)
        if factor == 1.0 and self.stretch == 1.0 and not self.began_behind:
            return
        scheduled = self.scheduled(step)
        for group, rate in zip(self._optimizer.param_groups, scheduled, strict=True):
            ours = rate * factor
            self._own_rates.append((group["lr"], ours))
            group["lr"] = ours


def is_no_bound(value: float) -> bool:
    """Return whether clipping at `value` means none."""
    return math.isinf(value) and value > 0

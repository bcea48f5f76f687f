"""What is done to a run, whatever tool makes it: factors of the rate and of the loss by update, rows, epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Fault:
    """One run's conditions. Shares are of the planned updates."""

    name: str
    codes: tuple[str, ...]
    """Any of these names it rightly; none: it is sound, and nothing above info may be said."""
    rate: float = 1.0
    """Factor on the rate from the start."""
    rate_jump: float = 1.0
    """Factor on the rate from the middle on."""
    spike: float = 1.0
    """Factor on the loss, gradient included, of one update in the middle, whose targets are wrong too."""
    nan_from_middle: bool = False
    restarts: int = 0
    """Warm restarts of the schedule."""
    small_batches: bool = False
    """An eighth of the rows an update."""
    rows: int | None = None
    """Training rows; None: all."""
    noise: float = 0.0
    """Share of training labels drawn anew."""

    def rate_at(self, step: int, total: int) -> float:
        """Return the factor of the rate at `step` (from 0): warm-up, linear decay, and the fault's own."""
        if self.restarts:
            cycle = total // (self.restarts + 1)
            return 0.5 + 0.5 * math.cos(math.pi * (step % cycle) / cycle)
        warmup = max(1, total // 10)
        shape = min((step + 1) / warmup, max(0.0, (total - step) / (total - warmup)))
        return shape * self.rate * (self.rate_jump if step >= middle(total) else 1.0)

    def loss_at(self, loss: torch.Tensor, step: int, total: int) -> torch.Tensor:
        """Return what is differentiated and logged at `step` (from 0)."""
        if self.nan_from_middle and step == middle(total):
            return loss * torch.tensor(float("nan"))
        return loss * self.spike if step == middle(total) else loss


def middle(total: int) -> int:
    """Return the update (from 0) near the middle that logs of every tenth update hold."""
    return total // 20 * 10 - 1


FAULTS = [
    Fault("sound", ()),
    Fault("sound, a tenth of labels wrong", (), noise=0.1),
    Fault("sound, small batches", (), small_batches=True),
    Fault("sound, warm restarts", (), restarts=2),
    Fault(
        "rate too high", ("learning_rate_too_high", "divergence", "no_warmup", "underfitting"), rate=1000.0
    ),
    Fault("rate jumps", ("learning_rate_too_high", "divergence", "loss_spike"), rate_jump=1000.0),
    Fault("rate too low", ("learning_rate_too_low", "underfitting"), rate=1e-3),
    Fault("NaN", ("non_finite",), nan_from_middle=True),
    Fault("spike", ("loss_spike",), spike=50.0),
    Fault("learned by heart", ("overfitting",), rows=64, noise=0.3),
]

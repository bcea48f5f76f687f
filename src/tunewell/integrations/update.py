"""One update of somebody else's loop while it is gathered: backward passes, norms, and what a look showed."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from tunewell.probes.gradients import GradientNorms
from tunewell.probes.graph import LossSeen


@dataclass
class MicroBatch:
    """A loss that was computed, and what is known of it. Tensors are detached."""

    loss: Tensor
    """0-d, as it was given."""
    divisor: float = 1.0
    """Whole number that it was divided by last."""
    seen: LossSeen | None = None
    rows: list[int] | None = None
    row_losses: Tensor | None = None
    """(rows,) losses."""
    targets: Tensor | None = None
    """(rows,) classes."""
    row_count: int = 0
    tokens: int = 0
    weight: Tensor | None = None
    """0-d: what the loss was multiplied by after it was given, as its backward pass showed."""


@dataclass
class Update:
    """The update under way, or one that waits to be written. Tensors are 0-d and may still be on the device."""

    step: int
    looked_at: bool
    rows_before: int = 0
    """Rows trained on in the updates before."""
    passes: list[MicroBatch] = field(default_factory=list)
    norms: GradientNorms | None = None
    stale: Tensor | None = None
    """Norm of the gradients before the first backward pass."""
    shown: dict[str, Tensor] = field(default_factory=dict)
    """Numbers of the look, by field of `Inspected`, or ``field/layer`` for those that are by layer."""
    told: dict[str, object] = field(default_factory=dict)
    """Other facts of the look, by field of `Inspected`."""
    learning_rate: float = 0.0
    max_grad_norm: float | None = None
    skipped: bool = False
    seconds: float = 0.0
    data_seconds: float = 0.0
    gradients: dict[str, Tensor] = field(default_factory=dict)
    """Norm by layer."""
    moves: dict[str, Tensor] = field(default_factory=dict)
    """‖Δθ‖/‖θ‖ by layer."""
    divisor: float = 1.0
    """What the gathered gradient was divided by before the update."""
    is_plain: bool = False
    """It had one backward pass, and the loss that was given is the mean that is logged."""
    scaled: bool = False
    """A gradient scaler multiplied the loss: what was differentiated can't be compared."""

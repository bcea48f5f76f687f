"""One update of somebody else's loop while it is gathered: backward passes, norms, and what a look showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from tunewell.probes.gradients import GradientNorms
from tunewell.probes.graph import LossSeen
from tunewell.probes.phases import Phases

WAITING_UPDATES = 10
"""Updates that may wait to be judged together, which is cheaper and on a GPU saves it from waiting for the processor.
On the processor none waits where a policy may act."""
WAITING_BYTES = 64 << 20
"""What waiting updates may hold in memory of the losses that they were read from: a language model's are large."""


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
    phases: Phases | None = None
    """Where the time went, if it is looked into."""
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

    def held_bytes(self) -> int:
        """Return the bytes of what its losses were read from, which stay in memory until it is written."""
        read = [one.seen for one in self.passes if one.seen is not None]
        held = [
            tensor for seen in read for tensor in (seen.log_probabilities, seen.losses) if tensor is not None
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)


def must_be_written(waiting: Sequence[Update]) -> bool:
    """Return whether so many updates wait to be written, or hold so much, that they should wait no longer."""
    return len(waiting) >= WAITING_UPDATES or sum(one.held_bytes() for one in waiting) > WAITING_BYTES

"""What the time of an update goes to: its forward passes, its backward passes, its optimizer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Phases:
    """Seconds by phase of one update that is looked into.

    A GPU is waited for at each end of a phase, since it only queues its work: so this is for looks, not for each update.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        """Return the time once all work that was queued is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def add(self, phase: str, seconds: float) -> None:
        """Count `seconds` more for `phase`."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Count the time within for `phase`, unless it ends with an error."""
        began = self.now()
        yield
        self.add(phase, self.now() - began)

"""How often a schedule is moved on between two updates."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Ticks:
    """Counts a schedule's steps; without the schedule, the changes of the rate that can be seen."""

    def __init__(self, optimizer: Optimizer, scheduler: LRScheduler | None) -> None:
        self._optimizer, self._scheduler = optimizer, scheduler
        self._rates = self._now()
        self._changes = 0
        self._last = self._of_scheduler()
        self._updates = 0

    def between(self) -> None:
        """Look at the rate; called at each backward pass."""
        rates = self._now()
        self._changes += rates != self._rates
        self._rates = rates

    def since_last_update(self) -> int | None:
        """Return how often the schedule was moved on since the update before this one; None: there is none before."""
        if not self._updates:
            return None
        self.between()
        if self._scheduler is None:
            return self._changes
        return self._of_scheduler() - self._last

    def updated(self) -> None:
        """An update was made."""
        self.between()
        self._updates += 1
        self._changes = 0
        self._last = self._of_scheduler()

    def _of_scheduler(self) -> int:
        return 0 if self._scheduler is None else int(self._scheduler.last_epoch)

    def _now(self) -> list[float]:
        return [float(group["lr"]) for group in self._optimizer.param_groups]

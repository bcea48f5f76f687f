"""Copies of a training in memory, to go back to: weights, buffers, what the optimizer knows, and the monitors' states."""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunewell.probes import memory

SHARE = 0.01
"""Share of the training's time that copying may take."""
FEWEST_UPDATES = 10
"""Updates between two copies at the least."""
MEMORY_SHARE = 0.25
"""Share of the free memory that copies may take."""
KEPT = 4
"""Copies kept, the first one included: trouble is seen some updates after it began."""


@dataclass(frozen=True)
class Snapshot:
    """A training behind update `step`."""

    number: int
    step: int
    tensors: dict[str, Tensor]
    """Parameters and buffers by name."""
    moments: dict[Tensor, dict[str, Any]]
    """What the optimizer keeps of each parameter."""
    judgement: dict[str, Any]
    """States of the monitors."""


class Snapshots:
    """Keeps the beginning and the newest healthy moments, as many as memory allows.

    They are taken as often as they cost a hundredth of the training's time, and never of weights that are not finite.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._kept: deque[Snapshot] = deque()
        self._number = 0
        self._next = 0
        self._seconds = 0.0
        self.best: Snapshot | None = None
        """The training as it evaluated best on validation rows; kept where there is room for another copy."""
        self._best_score: tuple[float, float] | None = None
        self.most = KEPT
        self.restored = 0
        """How often the training was put back."""

    def steps(self) -> tuple[int, ...]:
        """Return the steps that can be gone back to."""
        return tuple(sorted({one.step for one in self.all()}))

    def numbered(self, number: int) -> Snapshot | None:
        """Return the copy of this number, or None."""
        return next((one for one in self.all() if one.number == number), None)

    def is_due(self, step: int, mean_seconds: float) -> bool:
        """Return whether a copy behind update `step` costs no more than its share; `mean_seconds` are an update's."""
        if not self._kept or step < self._next:
            return not self._kept
        every = max(FEWEST_UPDATES, math.ceil(self._seconds / (SHARE * max(mean_seconds, 1e-6))))
        return step - self._kept[-1].step >= every

    def take(self, step: int, judgement: dict[str, Any]) -> bool:
        """Copy the training as it stands behind update `step`; False: memory is short, or it is not finite."""
        began = time.perf_counter()
        if not self._kept:
            self.most = min(KEPT, self._affordable())
        if self.most < 1 or not self._is_finite():
            self._next = step + FEWEST_UPDATES
            return False
        self._kept.append(self._copied(step, judgement))
        if len(self._kept) > self.most:
            del self._kept[min(1, self.most - 1)]  # the beginning stays where there is room for two
        self._seconds = time.perf_counter() - began
        return True

    def take_if_best(self, step: int, score: float, loss: float, judgement: dict[str, Any]) -> None:
        """Copy the training where its `score` (the higher the better) is the best so far; `loss` decides between equals."""
        now = (score, -loss if math.isfinite(loss) else -math.inf)
        is_better = math.isfinite(score) and (self._best_score is None or now > self._best_score)
        if is_better and self._is_finite() and (self.best is not None or self._affordable() > KEPT):
            self.best, self._best_score = self._copied(step, judgement), now

    def forget_best(self) -> None:
        """The model is another one now: what was evaluated before can't be compared."""
        self.best = self._best_score = None

    def is_best(self) -> bool:
        """Return whether the weights are those that evaluated best."""
        now = dict(self._tensors())
        return self.best is not None and all(
            torch.equal(now[name], tensor) for name, tensor in self.best.tensors.items() if name in now
        )

    def mend(self, names: Iterable[str]) -> None:
        """Put the present values of these parameters into every copy: going back must not bring the sick ones back."""
        now = dict(self._tensors())
        for one in self.all():
            for name in names:
                one.tensors[name] = now[name].detach().clone()
                one.moments.pop(now[name], None)

    def last_before(self, before: int) -> Snapshot | None:
        """Return the newest one of a step less than `before`, or None."""
        earlier = [one for one in self.all() if one.step < before]
        return max(earlier, key=lambda one: one.step, default=None)

    def restore(self, snapshot: Snapshot) -> None:
        """Put weights, buffers and the optimizer's moments back; rates and the schedule go on. Later copies are dropped."""
        self.restored += 1
        now = dict(self._tensors())
        with torch.no_grad():
            for name, tensor in snapshot.tensors.items():
                if name in now and now[name].shape == tensor.shape:
                    now[name].copy_(tensor)
        self._optimizer.state.clear()
        for parameter, state in snapshot.moments.items():
            self._optimizer.state[parameter] = {name: _copy(value) for name, value in state.items()}
        for parameter in self._model.parameters():
            parameter.grad = None
        while self._kept and self._kept[-1].step > snapshot.step:
            self._kept.pop()

    def all(self) -> list[Snapshot]:
        """Return every copy, that of the best evaluation last."""
        return [*self._kept] if self.best is None else [*self._kept, self.best]

    def _copied(self, step: int, judgement: dict[str, Any]) -> Snapshot:
        with torch.no_grad():
            tensors = {name: tensor.detach().clone() for name, tensor in self._tensors()}
            moments = {
                parameter: {name: _copy(value) for name, value in state.items()}
                for parameter, state in self._optimizer.state.items()
            }
        self._number += 1
        return Snapshot(self._number, step, tensors, moments, judgement)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._model.named_parameters()
        yield from self._model.named_buffers()

    def _is_finite(self) -> bool:
        floating = [tensor.detach() for _, tensor in self._tensors() if tensor.is_floating_point()]
        if not floating:
            return True
        sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in floating])
        return bool(torch.isfinite(sums).all())

    def _affordable(self) -> int:
        """Return how many copies memory has room for: weights and, later, two moments of each."""
        size = sum(tensor.numel() * tensor.element_size() for _, tensor in self._tensors())
        trained = sum(p.numel() * p.element_size() for p in self._model.parameters() if p.requires_grad)
        device = next(self._model.parameters()).device
        held, limit = memory.held(device), memory.limit(device)
        if held is None or limit is None:
            return KEPT
        return int(MEMORY_SHARE * max(0, limit - held) / max(1, size + 2 * trained))


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)

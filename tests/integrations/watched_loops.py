"""Small trainings in plain PyTorch, as people write them, for tests of `tunewell.watch`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer

import tunewell
from tunewell.integrations.watcher import Watcher
from tunewell.records import Acted, Inspected, Record, Step


def digits() -> tuple[Tensor, Tensor]:
    """Return (1797, 1, 8, 8) images from 0 to 1 and their classes."""
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16, torch.tensor(data.target)


IMAGES, CLASSES = digits()


def cnn() -> nn.Sequential:
    """Return a CNN with dropout, the same at each call."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(512, 10),
    )


def batches(steps: int, size: int = 32) -> list[list[int]]:
    """Return `steps` batches of rows drawn at random, the same at each call."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(len(IMAGES), (size,), generator=generator).tolist() for _ in range(steps)]


def train(
    model: nn.Module,
    optimizer: Optimizer,
    watch: Watcher | None,
    steps: int = 30,
    *,
    size: int = 32,
    before_step: Callable[[], object] = lambda: None,
    after_step: Callable[[], object] = lambda: None,
    clears: bool = True,
) -> None:
    """Train on digits as a plain script does."""
    for rows in batches(steps, size):
        loss = F.cross_entropy(model(IMAGES[rows]), CLASSES[rows])
        if watch is not None:
            watch.loss(loss)
        loss.backward()
        before_step()
        optimizer.step()
        if clears:
            optimizer.zero_grad()
        after_step()


def watched(
    model: nn.Module, optimizer: Optimizer | None = None, **settings: Any
) -> tuple[Optimizer, Watcher]:
    """Return an optimizer for `model` and a watcher that writes nothing to disk."""
    optimizer = optimizer or AdamW(model.parameters(), 1e-3)
    return optimizer, tunewell.watch(model, optimizer, **{"total_steps": 300, "folder": None} | settings)


def steps_of(watch: Watcher) -> list[Step]:
    """Return the updates recorded."""
    return _of(watch, Step)


def looks_of(watch: Watcher) -> list[Inspected]:
    """Return the looks recorded."""
    return _of(watch, Inspected)


def deeds_of(watch: Watcher) -> list[Acted]:
    """Return what was done."""
    return _of(watch, Acted)


def codes_of(watch: Watcher) -> set[str]:
    """Return the kinds of fault seen, infos left out."""
    return {finding.code for finding in watch.findings if finding.severity != "info"}


def _of(watch: Watcher, kind: type[Any]) -> list[Any]:
    records: list[Record] = watch.records
    return [record for record in records if isinstance(record, kind)]

"""What `tunewell.watch` costs, measured on and off in one process: ``python -m benchmarks.watching``.

Two equal models train side by side, one of them watched, in turns step by step, so that whatever else the machine does
hits both. The cost of a step is that of an ordinary one plus a twentieth of that of one that is looked into
(`probe_steps` 20); medians of processor time, since other programs may run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tunewell

PROBE_STEPS = 20

Loss = Callable[[nn.Module], Tensor]


def cnn() -> tuple[Callable[[], nn.Module], Loss]:
    """Return a small CNN whose step takes some 20 ms on one core."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(64 * 64, 10),
        )

    images, targets = torch.randn(32, 3, 32, 32), torch.randint(10, (32,))
    return model, lambda one: F.cross_entropy(one(images), targets)


def minilm() -> tuple[Callable[[], nn.Module], Loss]:
    """Return all-MiniLM-L6 with a new head on texts of 64 tokens: some 200 ms a step."""
    from transformers import AutoModelForSequenceClassification

    from tunewell.models.packaged.minilm import minilm as folder

    def model() -> nn.Module:
        made: nn.Module = AutoModelForSequenceClassification.from_pretrained(folder(), num_labels=2)
        return made.train()

    ids, targets = torch.randint(1000, 20_000, (8, 64)), torch.randint(2, (8,))
    mask = torch.ones_like(ids)
    return model, lambda one: F.cross_entropy(one(input_ids=ids, attention_mask=mask).logits, targets)


def seconds(step: Callable[[], None]) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began


def measure(make: Callable[[], nn.Module], loss_of: Loss, steps: int) -> dict[str, float]:
    """Return milliseconds of a step unwatched, watched, and watched and looked into, and the cost in per cent."""
    models = [make(), make()]
    optimizers = [torch.optim.AdamW(model.parameters(), 1e-4) for model in models]
    watch = tunewell.watch(models[1], optimizers[1], total_steps=steps, folder=None, probe_steps=PROBE_STEPS)

    def step(which: int) -> None:
        loss = loss_of(models[which])
        if which:
            watch.loss(loss)
        loss.backward()
        optimizers[which].step()
        optimizers[which].zero_grad()

    times: dict[str, list[float]] = {"off": [], "on": [], "look": []}
    for number in range(steps):
        order = (0, 1) if number % 2 else (1, 0)
        taken = {which: seconds(lambda which=which: step(which)) for which in order}
        if number >= 5:
            times["off"].append(taken[0])
            times["look" if number % PROBE_STEPS == 0 else "on"].append(taken[1])
    watch.close()
    off, on, look = (1e3 * statistics.median(times[name]) for name in ("off", "on", "look"))
    cost = (on - off) * (1 - 1 / PROBE_STEPS) + (look - off) / PROBE_STEPS
    return {"off_ms": off, "on_ms": on, "look_ms": look, "cost_percent": 100 * cost / off}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="of the CNN; a quarter of it of MiniLM")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=["cnn", "minilm"])
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    for name, build, steps in (("cnn", cnn, asked.steps), ("minilm", minilm, asked.steps // 4)):
        if asked.only in (None, name):
            found = measure(*build(), steps)
            print(f"{name:8}" + "  ".join(f"{key} {value:.2f}" for key, value in found.items()))


if __name__ == "__main__":
    main()

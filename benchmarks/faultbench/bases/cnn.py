"""A convolutional network on scikit-learn's digits: batch norm in a residual branch, dropout, SGD with momentum."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import accuracy, cross_entropy, split
from benchmarks.faultbench.training import Training

NOISE = 3.5
"""Standard deviation of what is added to each pixel, of 0 to 16: without it the task forgives every fault."""


class Net(nn.Module):
    """Two halves, each a convolution, a ReLU, a pool and a residual block; head."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), Residual(16), nn.Dropout(0.2)
        )
        self.block2 = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), Residual(32), nn.Dropout(0.5)
        )
        self.head = nn.Linear(32 * 4, 10)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (rows, 10) for pixels (rows, 1, 8, 8)."""
        return self.head(self.block2(self.block1(x)).flatten(1))


class Residual(nn.Module):
    """Batch norm, ReLU, convolution, twice, beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.act1, self.act2 = nn.ReLU(), nn.ReLU()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return x + self.conv2(self.act2(self.norm2(self.conv1(self.act1(self.norm1(x))))))


def build(seed: int) -> Training:
    """Return the run before its first update."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    noise = np.random.default_rng(0).normal(0, NOISE, digits.images.shape)
    pixels = ((digits.images + noise - 4.9) / 6.0).astype("float32")[:, None]
    train, validation, test = split(pixels, digits.target, (900, 300, 597), seed=0)
    centres = torch.stack([train.inputs[train.targets == digit].mean(0) for digit in range(10)])
    easiness = -(train.inputs - centres[train.targets]).square().flatten(1).sum(1)
    torch.manual_seed(seed)
    return Training(
        model=Net(), train=train, validation=validation, test=test, criterion=cross_entropy, score=accuracy,
        metric="accuracy", num_classes=10, steps=300, batch_size=32, rate=0.01, optimizer_kind="sgd",
        weight_decay=1e-4, warmup=15, head="head", first_block="block1", middle="block2.0",
        biases=("block1.0.bias", "block2.0.bias"), easiness=easiness, seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=True,
    build=build,
    about="a residual CNN with batch norm and dropout on scikit-learn's digits; SGD 0.01 with momentum, cosine",
    without={
        "no_warmup": "this model needs none",
        "truncated_targets": "targets are classes",
        "epsilon_too_large": "SGD has no ε",
        "adapters": "nothing pre-trained",
    },
)

"""A small vision transformer on scikit-learn's digits: patches, pre-norm blocks, a class token; AdamW, warm-up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import accuracy, cross_entropy, split
from benchmarks.faultbench.training import Training

PATCH, WIDTH = 2, 48
PATCHES = (8 // PATCH) ** 2


class Block(nn.Module):
    """Attention and a perceptron, each behind its norm and beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, dropout=0.1, batch_first=True)
        self.up, self.act, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape, (rows, tokens, width)."""
        seen = self.norm1(x)
        x = x + self.attention(seen, seen, seen, need_weights=False)[0]
        return x + self.dropout(self.down(self.act(self.up(self.norm2(x)))))


class Net(nn.Module):
    """Patches of 2 × 2 pixels, three blocks, the class token's answer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)
        self.first = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.position = nn.Parameter(0.02 * torch.randn(1, PATCHES + 1, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (rows, 10) for pixels (rows, 1, 8, 8)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), tokens], 1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def build(seed: int) -> Training:
    """Return the run before its first update."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    noise = np.random.default_rng(1).normal(0, 2.0, digits.images.shape)
    pixels = ((digits.images + noise - 4.9) / 6.0).astype("float32")[:, None]
    train, validation, test = split(pixels, digits.target, (900, 300, 597), seed=1)
    centres = torch.stack([train.inputs[train.targets == digit].mean(0) for digit in range(10)])
    easiness = -(train.inputs - centres[train.targets]).square().flatten(1).sum(1)
    torch.manual_seed(seed)
    return Training(
        model=Net(), train=train, validation=validation, test=test, criterion=cross_entropy, score=accuracy,
        metric="accuracy", num_classes=10, steps=300, batch_size=32, rate=3e-3, optimizer_kind="adamw",
        weight_decay=0.05, warmup=20, max_grad_norm=1.0, head="head", first_block="blocks.0", middle="blocks.1",
        biases=("blocks.0.up.bias", "blocks.1.up.bias"), easiness=easiness, seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=True,
    build=build,
    about="a vision transformer of three pre-norm blocks on scikit-learn's digits, patches of 2 × 2; AdamW 3e-3, warm-up, "
    "clipping. No run of it but its healthy one was looked at before it was scored",
    without={
        "no_warmup": "this model needs none",
        "truncated_targets": "targets are classes",
        "adapters": "nothing pre-trained",
    },
)

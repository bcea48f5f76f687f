"""Tuning base: an encoder of post-norm blocks that tells which of six letters a row holds most often; Adam, warm-up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import accuracy, cross_entropy
from benchmarks.faultbench.training import Rows, Training

LETTERS, TOKENS, MORE = 6, 20, 0.22


class Net(nn.Module):
    """Embedding, eight blocks of PyTorch's own encoder (its norm comes after each part), mean, head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, 48)
        self.position = nn.Parameter(0.02 * torch.randn(TOKENS, 48))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(48, 4, 128, dropout=0.1, batch_first=True) for _ in range(8)
        )
        self.head = nn.Linear(48, LETTERS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (rows, letters) for letters (rows, tokens)."""
        x = self.embedding(tokens) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def rows_of(count: int, seed: int) -> Rows:
    """Return rows of random letters, some of them replaced by the row's own; the target is the most frequent one."""
    draw = torch.Generator().manual_seed(seed)
    own = torch.randint(LETTERS, (count, 1), generator=draw)
    letters = torch.randint(LETTERS, (count, TOKENS), generator=draw)
    letters = torch.where(torch.rand(letters.shape, generator=draw) < MORE, own, letters)
    counts = F.one_hot(letters, LETTERS).sum(1)
    is_clear = counts.topk(2, dim=1).values.diff(dim=1)[:, 0] < 0
    return Rows(letters[is_clear], counts.argmax(1)[is_clear])


def build(seed: int) -> Training:
    """Return the run before its first update."""
    torch.manual_seed(seed)
    train = rows_of(2400, seed=1)
    return Training(
        model=Net(), train=train, validation=rows_of(500, seed=2), test=rows_of(1000, seed=3), criterion=cross_entropy,
        score=accuracy, metric="accuracy", num_classes=LETTERS, steps=260, batch_size=32, rate=6e-3,
        optimizer_kind="adam", warmup=40, max_grad_norm=1.0, head="head", first_block="blocks.0", middle="blocks.2",
        biases=("blocks.0.linear1.bias", "blocks.1.linear1.bias"), seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=False,
    build=build,
    about="an encoder of eight post-norm blocks from scratch that finds the most frequent of six letters; Adam 6e-3, "
    "warm-up, clipping",
    without={
        "truncated_targets": "targets are classes",
        "inputs_not_normalized": "inputs are tokens",
        "adapters": "nothing pre-trained",
        "curriculum": "no order of ease",
    },
)

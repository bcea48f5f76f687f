"""What several bases share: losses, scores, rows of arrays, a small decoder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faultbench.training import Rows

IGNORED = -100
"""Target that counts for nothing."""


def cross_entropy(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the loss of (rows, classes) against (rows,)."""
    return F.cross_entropy(outputs, targets, reduction=reduction)


def squared_error(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the loss of (rows,) against (rows,)."""
    return F.mse_loss(outputs, targets, reduction=reduction)


def token_cross_entropy(outputs: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the loss of (rows, tokens, vocabulary) against (rows, tokens)."""
    if reduction == "mean":
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())
    losses = F.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")
    return losses.sum(1) / (targets != IGNORED).sum(1).clamp(min=1)


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of rows whose class was told."""
    return (outputs.argmax(-1) == targets).float().mean().item()


def token_accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of supervised tokens that were told."""
    counted = targets != IGNORED
    return (outputs.argmax(-1) == targets)[counted].float().mean().item()


def explained(outputs: Tensor, targets: Tensor) -> float:
    """Return R², the share of the targets' variance that was told."""
    return 1 - (F.mse_loss(outputs, targets) / targets.var(correction=0)).item()


def split(inputs: Any, targets: Any, sizes: tuple[int, int, int], seed: int) -> tuple[Rows, Rows, Rows]:
    """Return so many training, validation and test rows of two arrays, drawn at random."""
    inputs, targets = torch.as_tensor(inputs), torch.as_tensor(targets)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))[: sum(sizes)]
    train, validation, test = order.split(list(sizes))
    return (
        Rows(inputs[train], targets[train]),
        Rows(inputs[validation], targets[validation]),
        Rows(inputs[test], targets[test]),
    )


class Block(nn.Module):
    """A decoder's block with the norm after each part, as in the first transformers: it needs a warm-up."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.mixed = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.act = nn.ReLU()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (rows, tokens, width) for the same."""
        rows, tokens, width = x.shape
        query, key, value = self.mixed(x).view(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = self.norm1(x + self.dropout(self.joined(seen.transpose(1, 2).reshape(rows, tokens, width))))
        return self.norm2(x + self.dropout(self.down(self.act(self.up(x)))))


class Decoder(nn.Module):
    """A small causal language model."""

    def __init__(self, vocabulary: int, tokens: int, width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(Block(width, 4, dropout) for _ in range(blocks))
        self.head = nn.Linear(width, vocabulary)

    def features(self, tokens: Tensor) -> Tensor:
        """Return (rows, tokens, width) for token ids (rows, tokens)."""
        x = self.embedding(tokens) + self.position[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (rows, tokens, vocabulary) of each next token."""
        return self.head(self.features(tokens))

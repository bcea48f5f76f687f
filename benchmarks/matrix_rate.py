"""How fast this machine multiplies matrices of the shapes of MiniLM's linear layers, forward and backward."""

from __future__ import annotations

import time

import torch

ROWS = 4096
SHAPES = [(384, 384)] * 4 + [(1536, 384), (384, 1536)]
"""(outputs, inputs) of the linear layers of one block."""


def matrix_rate(dtype: torch.dtype, seconds: float = 2.0) -> float:
    """Return floating-point operations a second over Y = X Wᵀ, dX = dY W and dW = dYᵀ X of a block's layers."""
    torch.manual_seed(0)
    layers = [
        (torch.randn(ROWS, i).to(dtype), torch.randn(o, i).to(dtype), torch.randn(ROWS, o).to(dtype))
        for o, i in SHAPES
    ]
    operations = sum(3 * 2 * ROWS * o * i for o, i in SHAPES)

    def block() -> None:
        for x, w, g in layers:
            torch.mm(x, w.T)
            torch.mm(g, w)
            torch.mm(g.T, x)

    block()
    rounds, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        block()
        rounds += 1
    return operations * rounds / (time.perf_counter() - began)


def training_operations(
    tokens: int, length: float, layers: int = 6, hidden: int = 384, inner: int = 1536
) -> float:
    """Return the operations of the matrix products in training MiniLM on `tokens` in texts of `length` tokens.

    Linear layers and attention, forward and twice as much backward; all else counts as nothing.
    """
    linear = 2 * layers * (4 * hidden * hidden + 2 * hidden * inner)
    attention = 2 * layers * 2 * length * hidden
    return 3 * tokens * (linear + attention)

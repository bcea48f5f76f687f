"""Scale of what goes into a model, and whether its answers differ from row to row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tunewell.probes.samples import evenly

_NUMBERS = 1 << 18
"""Numbers looked at."""


def first_tensor(values: Any) -> Tensor | None:
    """Return the first tensor with rows among arguments, lists and dictionaries of them."""
    if isinstance(values, Tensor):
        return values if values.dim() > 0 else None
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, list | tuple):
        return None
    return next((found for value in values if (found := first_tensor(value)) is not None), None)


def mean_and_std(inputs: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return mean and standard deviation of floating-point `inputs` (rows first) as 0-d tensors; None: of others."""
    if not inputs.is_floating_point() or inputs.numel() < 2:
        return None
    rows = inputs.detach()[: max(1, _NUMBERS * len(inputs) // inputs.numel())].float()
    std, mean = torch.std_mean(rows)
    return mean, std


def spread(logits: Tensor) -> Tensor | None:
    """Return the standard deviation of `logits` (rows first, classes last) over rows, mean over classes, 0-d."""
    if not logits.is_floating_point() or logits.dim() < 2 or len(logits) < 2:
        return None
    flat = logits.detach().flatten(0, -2)
    flat = evenly(flat, max(2, _NUMBERS // flat.shape[1]))
    return flat.float().std(dim=0).mean() if len(flat) > 1 else None


def is_distribution(outputs: object) -> bool:
    """Return whether `outputs` (rows first, classes last) are probabilities: at least 0, each row's sum 1."""
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point() or outputs.dim() < 2:
        return False
    rows = outputs.detach().flatten(0, -2)[:64].float()
    sums_to_one = torch.allclose(rows.sum(dim=-1), torch.ones((), device=rows.device), atol=1e-3)
    return sums_to_one and bool((rows >= 0).all())

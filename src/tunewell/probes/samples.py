"""An even sample of each of many tensors, side by side, so that all of them are looked at in a few operations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Samples:
    """Samples of `tensors`, at most about `most` numbers of each; there must be at least one tensor.

    `numbers` is (sampled numbers of all,), `owner` the index of the tensor that each is of, `counts` and `sizes`
    (tensors,) how many numbers were sampled and how many there are. Nothing waits for the device.
    """

    def __init__(self, tensors: Sequence[Tensor], most: int) -> None:
        parts = [evenly(tensor.detach().reshape(-1), most) for tensor in tensors]
        device = parts[0].device
        self.numbers = torch.cat([part.to(device).float() for part in parts])
        lengths = [len(part) for part in parts]
        self.counts = torch.tensor(lengths, dtype=torch.float32, device=device)
        self.sizes = torch.tensor([float(tensor.numel()) for tensor in tensors], device=device)
        places = torch.arange(len(parts), device=device)
        self.owner = places.repeat_interleave(torch.tensor(lengths, device=device), output_size=sum(lengths))

    def sums(self, values: Tensor) -> Tensor:
        """Return (tensors,) the sum of `values`, one for each sampled number, over each tensor's."""
        return added(values.float(), self.owner, len(self.counts))

    def least(self, values: Tensor) -> Tensor:
        """Return (tensors,) the least of `values` over each tensor's; infinity where it has none."""
        start = torch.full_like(self.counts, torch.inf)
        return start.scatter_reduce(0, self.owner, values.float(), "amin")


def added(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Return (count,) the sums of `values` that have the same `owner`, its index."""
    return torch.zeros(count, device=values.device).index_add_(0, owner, values)


def evenly(tensor: Tensor, most: int) -> Tensor:
    """Return about `most` numbers or rows of `tensor` along its first dimension, evenly spread.

    The stride is odd: an even one would meet the same columns of a matrix, or the same edge of an image, again and again.
    """
    stride = len(tensor) // most
    return tensor[:: stride | 1] if stride > 1 else tensor

"""fp32 master weights beside the copy, in the compute precision, that the model multiplies with.

A bf16 number has 8 bits of mantissa: an update of 1e-4 of a weight would vanish in it. So the optimizer works on fp32
masters, and the model on their bf16 rounding; casting once an update is cheaper than autocast's casting at every use.
With an fp32 compute precision the masters are the model's own parameters and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Weights:
    """The weights of `model`, by parameter name; `masters` are fp32 and what is saved.

    The model's parameters are cast to `compute` in place.
    """

    def __init__(self, model: nn.Module, compute: torch.dtype) -> None:
        self.model = model
        self.used = dict(model.named_parameters())
        self.separate = compute != torch.float32
        self.masters = {
            name: nn.Parameter(p.detach().float().clone(), requires_grad=False) if self.separate else p
            for name, p in self.used.items()
        }
        if self.separate:
            for parameter in self.used.values():
                parameter.data = parameter.data.to(compute)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the masters of the parameters that require gradients, in the model's order."""
        return {name: self.masters[name] for name, p in self.used.items() if p.requires_grad}

    def gather_gradients(self) -> None:
        """Add the gradients of one micro-batch to the masters' in fp32, and clear the model's."""
        if not self.separate:
            return
        for name, parameter in self.used.items():
            if parameter.grad is None:
                continue
            master = self.masters[name]
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad = master.grad.add_(parameter.grad)
            parameter.grad = None

    def clear_gradients(self) -> None:
        """Forget all gradients."""
        for name, parameter in self.used.items():
            parameter.grad = None
            self.masters[name].grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters that were updated into the model's copy."""
        if not self.separate:
            return
        dense: list[tuple[Tensor, Tensor]] = []
        for name, parameter in self.used.items():
            grad = self.masters[name].grad
            if grad is None:
                continue
            if grad.is_sparse:
                rows = grad.coalesce().indices()[0]
                parameter.data.index_copy_(0, rows, self.masters[name].data[rows].to(parameter.dtype))
            else:
                dense.append((parameter.data, self.masters[name].data))
        if dense:
            torch._foreach_copy_([used for used, _ in dense], [master for _, master in dense])

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take `weights` (fp32, by name) as the new masters, and publish them all."""
        for name, master in self.masters.items():
            master.copy_(weights[name])
            if self.separate:
                self.used[name].data.copy_(master)

    @contextmanager
    def showing(self, weights: Mapping[str, Tensor] | None) -> Iterator[None]:
        """Let the model multiply with `weights` (such as a moving average) for a while; None changes nothing."""
        if weights is None:
            yield
            return
        with torch.no_grad():
            kept = {name: p.detach().clone() for name, p in self.used.items() if name in weights}
            for name in kept:
                self.used[name].copy_(weights[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in kept.items():
                    self.used[name].copy_(tensor)

    def full(self, averaged: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return every master by name; the ones in `averaged` take its place."""
        return {name: (averaged or {}).get(name, master.detach()) for name, master in self.masters.items()}

"""Gradient norms: every parameter's, every layer's, and the whole, from one pass over the gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def values(parameter: nn.Parameter) -> Tensor | None:
    """Return the gradient's numbers; of a sparse gradient only the rows that it holds."""
    if parameter.grad is None:
        return None
    if parameter.grad.is_sparse:
        parameter.grad = parameter.grad.coalesce()
        return parameter.grad.values()
    return parameter.grad


class GradientNorms:
    """L2 norms of the gradients of `parameters`, grouped by layer.

    `total` is 0-d; `by_layer()` gives 0-d tensors in the order of `layer_order`.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        found = {name: grad for name, p in parameters.items() if (grad := values(p)) is not None}
        self.names = list(found)
        self.gradients = list(found.values())
        self.norms = torch._foreach_norm(self.gradients) if self.gradients else ()
        self._present = self.norms
        self.total = torch.linalg.vector_norm(torch.stack(self.norms)) if self.norms else torch.zeros(())

    def clip(self, max_norm: float) -> None:
        """Scale all gradients so that the whole norm is at most `max_norm` (Pascanu et al. 2013)."""
        total = self.total
        if self._present is not self.norms:
            total = torch.linalg.vector_norm(torch.stack(tuple(self._present)))
        scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
        if self.total.is_cpu and scale == 1.0:
            return  # nothing to scale, and on the CPU looking costs nothing
        torch._foreach_mul_(self.gradients, scale)

    def clip_layers(self, bounds: Mapping[str, float], layers: Mapping[str, str]) -> None:
        """Scale each layer's gradient so that its norm is at most its bound (AdaGC, Wang et al. 2025)."""
        present = list(self._present)
        for layer, bound in bounds.items():
            places = [place for place, name in enumerate(self.names) if layers[name] == layer]
            if not places:
                continue
            norm = torch.linalg.vector_norm(torch.stack([present[place] for place in places]))
            scale = (bound / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([self.gradients[place] for place in places], scale)
            for place in places:
                present[place] = present[place] * scale
        self._present = tuple(present)

    def let_go(self) -> None:
        """Hold the gradients no longer, so that clearing them frees their memory; only `total` is left to ask for."""
        self.names, self.gradients = [], []
        self.norms = self._present = ()

    def by_layer(self, layers: Mapping[str, str], order: Sequence[str]) -> dict[str, Tensor]:
        """Return each layer's norm; a layer without gradients is absent."""
        grouped: dict[str, list[Tensor]] = {}
        for name, norm in zip(self.names, self.norms, strict=True):
            grouped.setdefault(layers[name], []).append(norm)
        return {
            layer: torch.linalg.vector_norm(torch.stack(grouped[layer]))
            for layer in order
            if layer in grouped
        }

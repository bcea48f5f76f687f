"""How far an update moved each layer: ‖Δθ‖ / ‖θ‖, estimated from an even sample of each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

SAMPLE = 16_384
"""Numbers looked at in each parameter: enough for two digits, and a copy of less than a megabyte a layer."""


class UpdateProbe:
    """Made before an update, asked after it."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = parameters
        self.before = {name: _sample(p).clone() for name, p in parameters.items()}

    def by_layer(self, layers: Mapping[str, str], order: Sequence[str]) -> dict[str, Tensor]:
        """Return ‖Δθ‖ / ‖θ‖ by layer as 0-d tensors; exactly 0 means that no sampled number moved."""
        moved: dict[str, list[Tensor]] = {}
        size: dict[str, list[Tensor]] = {}
        for name, before in self.before.items():
            now = _sample(self.parameters[name])
            scale = (self.parameters[name].numel() / now.numel()) ** 0.5
            moved.setdefault(layers[name], []).append(torch.linalg.vector_norm(now - before) * scale)
            size.setdefault(layers[name], []).append(torch.linalg.vector_norm(before) * scale)
        return {
            layer: torch.linalg.vector_norm(torch.stack(moved[layer]))
            / torch.linalg.vector_norm(torch.stack(size[layer])).clamp_min(1e-12)
            for layer in order
            if layer in moved
        }


def _sample(parameter: nn.Parameter) -> Tensor:
    flat = parameter.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLE)]

"""How far an update moved each layer: ‖Δθ‖ / ‖θ‖, estimated from an even sample of each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tunewell.probes.samples import added, evenly

SAMPLE = 16_384
"""Numbers looked at in each parameter: enough for two digits, and a copy of less than a megabyte a layer."""


class UpdateProbe:
    """Made before an update, asked after it."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = parameters
        self.before = {name: _sample(p).clone() for name, p in parameters.items()}

    def by_layer(self, layers: Mapping[str, str], order: Sequence[str]) -> dict[str, Tensor]:
        """Return ‖Δθ‖ / ‖θ‖ by layer as 0-d tensors; exactly 0 means that no sampled number moved."""
        if not self.before:
            return {}
        before = list(self.before.values())
        now = [_sample(self.parameters[name]) for name in self.before]
        moved = torch.stack(torch._foreach_norm(torch._foreach_sub(now, before)))
        size = torch.stack(torch._foreach_norm(before))
        scale = torch.tensor(
            [
                (self.parameters[name].numel() / max(1, one.numel())) ** 0.5
                for name, one in self.before.items()
            ],
            device=moved.device,
        )
        present = [layer for layer in order if layer in {layers[name] for name in self.before}]
        place = {layer: index for index, layer in enumerate(present)}
        owner = torch.tensor([place[layers[name]] for name in self.before], device=moved.device)
        squares = [added((norms * scale).float().square(), owner, len(present)) for norms in (moved, size)]
        ratios = (squares[0] / squares[1].clamp_min(1e-24)).sqrt()
        return dict(zip(present, ratios, strict=True))


def _sample(parameter: nn.Parameter) -> Tensor:
    return evenly(parameter.detach().reshape(-1), SAMPLE)

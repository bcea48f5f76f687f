"""Looks at an optimizer: what it does not train, whether ε rules its steps, which gradients are exactly zero."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunewell.probes.samples import Samples, added

_SAMPLE = 1_024
"""Numbers looked at in each parameter."""
_FEWEST = 256
"""Numbers of which the smallest says whether there is a hole around zero."""


def not_optimized(parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> list[str]:
    """Return the names of those `parameters` that require gradients and are in no group."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return [name for name, p in parameters.items() if p.requires_grad and id(p) not in held]


class LeftOut:
    """Trainable parameters in no group of an optimizer, look after look.

    Those that something else moves between two looks, such as a second optimizer, are not left out.
    """

    def __init__(self) -> None:
        self.moved: set[str] = set()
        """Names of those that something else moves."""
        self._before: dict[str, Tensor] = {}

    def names(self, parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> list[str]:
        """Return their names as of now; what else moves them shows from the second look on."""
        left_out = not_optimized(parameters, optimizer)
        now = {name: _thinned(parameters[name]) for name in left_out}
        self.moved |= {
            name
            for name, sample in now.items()
            if name in self._before and not torch.equal(sample, self._before[name])
        }
        self._before = now
        return [name for name in left_out if name not in self.moved]


def epsilon_share(optimizer: Optimizer) -> tuple[float, Tensor] | None:
    """Return the largest ε and the share of sampled moving √v that are smaller than their group's ε (0-d).

    √v is Adam's with its bias corrected; numbers that never had a gradient don't count. None: the optimizer keeps no
    second moments, or no step was made yet.
    """
    moments: list[Tensor] = []
    steps: list[Tensor] = []
    bounds: list[tuple[float, float]] = []
    for group in optimizer.param_groups:
        epsilon = group.get("eps")
        if not isinstance(epsilon, float):
            continue
        decay = group["betas"][1] if "betas" in group else 0.0
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            second, step = state.get("exp_avg_sq"), state.get("step")
            if isinstance(second, Tensor) and second.numel() and step is not None:
                moments.append(second)
                steps.append(torch.as_tensor(step))
                bounds.append((epsilon, decay))
    if not moments:
        return None
    samples = Samples(moments, _SAMPLE)
    epsilons, decays = torch.tensor(bounds, device=samples.numbers.device).T
    made = torch.stack(steps).to(samples.numbers.device)
    # √(v / (1 - β₂ᵗ)) < ε, without a root of each number
    smallest = (epsilons.square() * (1 - decays**made))[samples.owner]
    moving = samples.numbers > 0
    smaller = moving & (samples.numbers < smallest)
    return max(epsilon for epsilon, _ in bounds), smaller.sum() / moving.sum().clamp_min(1)


def zero_shares(
    parameters: Mapping[str, nn.Parameter], layers: Mapping[str, str], left_out: frozenset[str]
) -> dict[str, Tensor]:
    """Return the share of exact zeros in a sample of each layer's gradient, 0-d; layers `left_out` are absent."""
    gradients = _gradients(parameters, layers, left_out)
    if not gradients:
        return {}
    samples = Samples([gradient for _, gradient in gradients], _SAMPLE)
    shares = samples.sums(samples.numbers == 0) / samples.counts
    order, owner = _by_layer(gradients, shares.device)
    zeros = added(shares * samples.sizes, owner, len(order))  # a bias must not count as much as a matrix
    return dict(zip(order, zeros / added(samples.sizes, owner, len(order)), strict=True))


def smallest_numbers(
    parameters: Mapping[str, nn.Parameter], layers: Mapping[str, str], left_out: frozenset[str]
) -> dict[str, Tensor]:
    """Return by layer the smallest number of a sample of its gradient that is not 0, beside their root mean square, 0-d.

    Of a layer's matrices the one that comes nearest to zero; those with fewer than 256 such numbers give NaN.
    """
    gradients = [(layer, one) for layer, one in _gradients(parameters, layers, left_out) if one.dim() >= 2]
    if not gradients:
        return {}
    samples = Samples([gradient for _, gradient in gradients], _SAMPLE)
    sizes = samples.numbers.abs()
    moving = sizes > 0
    counts = samples.sums(moving)
    usual = (samples.sums(sizes.square()) / counts).sqrt()
    ratios = samples.least(torch.where(moving, sizes, math.inf)) / usual
    ratios = torch.where(counts >= _FEWEST, ratios, math.inf)
    order, owner = _by_layer(gradients, ratios.device)
    start = torch.full((len(order),), math.inf, device=ratios.device)
    least = start.scatter_reduce(0, owner, ratios, "amin")
    return dict(zip(order, torch.where(least.isinf(), math.nan, least), strict=True))


def _thinned(parameter: nn.Parameter) -> Tensor:
    flat = parameter.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLE)].clone()


def _gradients(
    parameters: Mapping[str, nn.Parameter], layers: Mapping[str, str], left_out: frozenset[str]
) -> list[tuple[str, Tensor]]:
    """Return layer and dense gradient of each parameter that has one."""
    return [
        (layers[name], parameter.grad)
        for name, parameter in parameters.items()
        if parameter.grad is not None
        and not parameter.grad.is_sparse
        and parameter.grad.numel()
        and layers[name] not in left_out
    ]


def _by_layer(gradients: list[tuple[str, Tensor]], device: torch.device) -> tuple[list[str], Tensor]:
    """Return the distinct layers, and of each gradient the index of its layer among them."""
    order = list(dict.fromkeys(layer for layer, _ in gradients))
    place = {layer: index for index, layer in enumerate(order)}
    return order, torch.tensor([place[layer] for layer, _ in gradients], device=device)


def output_gain(layer: nn.Module) -> Tensor | None:
    """Return the root mean square of the largest matrix in `layer` times √(inputs of one output), 0-d; None: no matrix."""
    matrices = [parameter.detach() for parameter in layer.parameters() if parameter.dim() >= 2]
    if not matrices:
        return None
    largest = max(matrices, key=Tensor.numel)
    norm: Tensor = torch.linalg.vector_norm(largest.float())
    return norm / math.sqrt(largest.shape[0])

"""Looks at an optimizer: what it does not train, whether ε rules its steps, which gradients are exactly zero."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_SAMPLE = 1_024
"""Numbers looked at in each parameter."""
_FEWEST = 256
"""Numbers of which the smallest says whether there is a hole around zero."""


def not_optimized(parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> list[str]:
    """Return the names of those `parameters` that require gradients and are in no group."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return [name for name, p in parameters.items() if p.requires_grad and id(p) not in held]


def epsilon_share(optimizer: Optimizer) -> tuple[float, Tensor] | None:
    """Return the largest ε and the share of sampled moving √v that are smaller than their group's ε (0-d).

    √v is Adam's with its bias corrected; numbers that never had a gradient don't count. None: the optimizer keeps no
    second moments, or no step was made yet.
    """
    largest, smaller, moving = 0.0, [], []
    for group in optimizer.param_groups:
        epsilon = group.get("eps")
        if not isinstance(epsilon, float):
            continue
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            second, step = state.get("exp_avg_sq"), state.get("step")
            if not isinstance(second, Tensor) or step is None:
                continue
            sample = _sample(second)
            decay = group["betas"][1] if "betas" in group else 0.0
            root = (sample / (1 - decay**step)).sqrt()
            counts = sample > 0
            smaller.append(((root < epsilon) & counts).sum())
            moving.append(counts.sum())
            largest = max(largest, epsilon)
    if not moving:
        return None
    return largest, torch.stack(smaller).sum() / torch.stack(moving).sum().clamp_min(1)


def zero_shares(
    parameters: Mapping[str, nn.Parameter], layers: Mapping[str, str], left_out: frozenset[str]
) -> dict[str, Tensor]:
    """Return the share of exact zeros in a sample of each layer's gradient, 0-d; layers `left_out` are absent."""
    zeros: dict[str, list[Tensor]] = {}
    sizes: dict[str, int] = {}
    for name, parameter in parameters.items():
        layer = layers[name]
        if parameter.grad is None or parameter.grad.is_sparse or layer in left_out:
            continue
        sample = _sample(parameter.grad)
        scale = parameter.grad.numel() / sample.numel()  # a bias must not count as much as a matrix
        zeros.setdefault(layer, []).append((sample == 0).sum() * scale)
        sizes[layer] = sizes.get(layer, 0) + parameter.grad.numel()
    return {layer: torch.stack(counts).sum() / sizes[layer] for layer, counts in zeros.items()}


def smallest_numbers(
    parameters: Mapping[str, nn.Parameter], layers: Mapping[str, str], left_out: frozenset[str]
) -> dict[str, Tensor]:
    """Return by layer the smallest number of a sample of its gradient that is not 0, beside their root mean square, 0-d.

    Of a layer's matrices the one that comes nearest to zero; those with fewer than 256 such numbers give NaN.
    """
    smallest: dict[str, list[Tensor]] = {}
    for name, parameter in parameters.items():
        layer, gradient = layers[name], parameter.grad
        if gradient is None or gradient.is_sparse or layer in left_out or gradient.dim() < 2:
            continue
        sample = _sample(gradient).abs().float()
        moving = sample > 0
        count = moving.sum()
        usual = (sample.square().sum() / count).sqrt()
        ratio = torch.where(moving, sample, math.inf).min() / usual
        smallest.setdefault(layer, []).append(torch.where(count >= _FEWEST, ratio, math.nan))
    return {layer: _fmin(ratios) for layer, ratios in smallest.items()}


def output_gain(layer: nn.Module) -> Tensor | None:
    """Return the root mean square of the largest matrix in `layer` times √(inputs of one output), 0-d; None: no matrix."""
    matrices = [parameter.detach() for parameter in layer.parameters() if parameter.dim() >= 2]
    if not matrices:
        return None
    largest = max(matrices, key=Tensor.numel)
    norm: Tensor = torch.linalg.vector_norm(largest.float())
    return norm / math.sqrt(largest.shape[0])


def _fmin(numbers: list[Tensor]) -> Tensor:
    least = numbers[0]
    for number in numbers[1:]:
        least = torch.fmin(least, number)
    return least


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLE)]

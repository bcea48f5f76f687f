"""Optimizers by name, their parameter groups, and their state by parameter name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunewell.models.layers import layer_order
from tunewell.problems import Problem, RecipeError, nearest
from tunewell.recipe import Recipe

NAMES = ("adamw", "adam", "rmsprop", "sgd", "adafactor", "lion")


class Optimizers:
    """The optimizer of one stage, and the lazy one of the embedding rows where the recipe asks for it.

    Each parameter group carries ``peak``: the rate at a schedule's factor of 1.
    """

    def __init__(
        self,
        recipe: Recipe,
        parameters: Mapping[str, nn.Parameter],
        layers: Mapping[str, str],
        peak: float,
        sparse: str | None = None,
    ) -> None:
        self.names = {id(parameter): name for name, parameter in parameters.items()}
        groups = _groups(recipe, {n: p for n, p in parameters.items() if n != sparse}, layers, peak)
        self.parts: list[Optimizer] = [_build(recipe, groups)] if groups else []
        if sparse is not None and sparse in parameters:
            rate = peak * _depth_factors(recipe.layer_decay, layers)[layers[sparse]]
            lazy = torch.optim.SparseAdam(
                [{"params": [parameters[sparse]], "peak": rate}],
                lr=rate,
                betas=(recipe.adam_beta1, recipe.adam_beta2),
                eps=recipe.adam_epsilon,
            )
            self.parts.append(lazy)

    def set_rate(self, factor: float) -> float:
        """Set every group's rate to its peak times `factor`; return the largest rate now in the optimizer."""
        for group in self._all_groups():
            group["lr"] = group["peak"] * factor
        return max(float(group["lr"]) for group in self._all_groups())

    def set_epsilon(self, value: float) -> None:
        """Set ε of every group that has one."""
        for group in self._all_groups():
            if isinstance(group.get("eps"), float):
                group["eps"] = value

    @property
    def epsilon(self) -> float | None:
        """What is added to the denominators of an Adam-like optimizer; None: it is of another kind."""
        found = [group["eps"] for group in self._all_groups() if isinstance(group.get("eps"), float)]
        return max(found, default=None)

    def forget(self, names: Collection[str]) -> None:
        """Let these parameters begin anew, without a memory of gradients."""
        for part in self.parts:
            for parameter in [p for p in part.state if self.names[id(p)] in names]:
                del part.state[parameter]

    def step(self, finite: Tensor) -> None:
        """Update the parameters from their gradients, if `finite` (0-d, bool).

        Fused optimizers on a GPU look at the flag there; all others make the processor wait for it.
        """
        for part in self.parts:
            if finite.is_cuda and getattr(part, "_step_supports_amp_scaling", False):
                part.grad_scale, part.found_inf = None, (~finite).float()  # type: ignore[attr-defined]
                part.step()
            elif finite:
                part.step()

    def pack(self) -> dict[str, Tensor]:
        """Return the optimizer's state as tensors named ``<parameter>/<key>``."""
        packed = {}
        for part in self.parts:
            for parameter, values in part.state.items():
                for key, value in values.items():
                    tensor = value if isinstance(value, Tensor) else torch.tensor(value)
                    packed[f"{self.names[id(parameter)]}/{key}"] = tensor
        return packed

    def unpack(self, packed: Mapping[str, Tensor]) -> None:
        """Take back what `pack` returned; parameters it does not name start anew."""
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, tensor in packed.items():
            name, _, field = key.rpartition("/")
            by_name.setdefault(name, {})[field] = tensor
        for part in self.parts:
            part.state.clear()
            for group in part.param_groups:
                for parameter in group["params"]:
                    stored = by_name.get(self.names[id(parameter)])
                    if stored:
                        part.state[parameter] = {k: _restored(k, t, parameter) for k, t in stored.items()}

    def _all_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]


def _restored(key: str, tensor: Tensor, parameter: nn.Parameter) -> Any:
    if key == "step":  # PyTorch keeps counts on the CPU unless the optimizer is fused on a GPU
        if parameter.is_sparse or tensor.dtype == torch.int64:
            return int(tensor)
        return tensor.clone().to(parameter.device if parameter.is_cuda else "cpu")
    return tensor.clone().to(parameter.device)


def _groups(
    recipe: Recipe, parameters: Mapping[str, nn.Parameter], layers: Mapping[str, str], peak: float
) -> list[dict[str, Any]]:
    """Group parameters by rate and decay: biases and normalisation weights (one dimension) never decay."""
    factors = _depth_factors(recipe.layer_decay, layers)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in parameters.items():
        rate, decays = peak * factors[layers[name]], parameter.dim() >= 2
        group = groups.setdefault(
            (rate, decays),
            {"params": [], "lr": rate, "peak": rate, "weight_decay": recipe.weight_decay if decays else 0.0},
        )
        group["params"].append(parameter)
    return list(groups.values())


def _depth_factors(layer_decay: float, layers: Mapping[str, str]) -> dict[str, float]:
    """Layer-wise rate decay (Howard & Ruder 2018; ELECTRA's form): one factor less for each layer below the head."""
    order = layer_order(dict(layers))
    return {layer: layer_decay ** (len(order) - 1 - depth) for depth, layer in enumerate(order)}


def _build(recipe: Recipe, groups: list[dict[str, Any]]) -> Optimizer:
    rate, betas, eps = recipe.learning_rate, (recipe.adam_beta1, recipe.adam_beta2), recipe.adam_epsilon
    device = groups[0]["params"][0].device.type
    fused = device in ("cpu", "cuda")
    match recipe.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=eps, fused=fused)
        case "adam":
            return torch.optim.Adam(groups, lr=rate, betas=betas, eps=eps, fused=fused)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=rate, eps=eps, momentum=recipe.momentum, foreach=True)
        case "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, foreach=True)
        case "adafactor":
            return torch.optim.Adafactor(groups, lr=rate)
        case "lion":
            return _lion(groups, rate, betas)
    guess = nearest(recipe.optimizer, NAMES)
    fix = f"did you mean `{guess}`?" if guess else f"known: {', '.join(NAMES)}"
    raise RecipeError(
        Problem("recipe", f"unknown optimizer `{recipe.optimizer}`", field="optimizer", fix=fix)
    )


def _lion(groups: list[dict[str, Any]], rate: float, betas: tuple[float, float]) -> Optimizer:
    try:
        from pytorch_optimizer import Lion
    except ImportError as error:
        raise RecipeError(
            Problem(
                "recipe",
                "optimizer `lion` needs a package that is not installed",
                field="optimizer",
                fix="in tunewell's clone: pip install '.[optimizers]'",
            )
        ) from error
    lion: Optimizer = Lion(groups, lr=rate, betas=betas, weight_decouple=True)
    return lion

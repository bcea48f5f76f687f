"""What actions change about somebody else's model: its modes, its inputs and outputs, which layers train, and how."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from tunewell.probes.modes import Modes

_SMALLEST = 1e-12
"""Probability below which a logarithm is cut off."""
_ABSENT = 0.5
"""Rows that a class without any is taken to have."""


class Interventions:
    """Hooks on the root of a model that actions have asked for."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: dict[str, RemovableHandle] = {}
        self.can_correct = False
        """The newest pass in training gave logits that can be corrected for how common classes are."""

    def __contains__(self, name: str) -> bool:
        return name in self._handles

    def hold_modes(self) -> None:
        """Put modules into training mode before each pass with gradients, and into evaluation mode before others."""

        def hook(model: nn.Module, _: Any) -> None:
            training = torch.is_grad_enabled()
            if model.training != training:
                model.train(training)
            modes = Modes(model)
            for name in modes.in_evaluation() if training else modes.in_training():
                modes.switching[name].train(training)

        self._hook("modes", self._model.register_forward_pre_hook(hook, prepend=True))

    def take_logarithm(self) -> None:
        """Give the logarithm of what the model gives, or of its ``logits``."""

        def hook(model: nn.Module, _: Any, output: Any) -> Any:
            if isinstance(output, Tensor):
                return output.clamp_min(_SMALLEST).log()
            output.logits = output.logits.clamp_min(_SMALLEST).log()
            return output

        self._hook("logarithm", self._model.register_forward_hook(hook, prepend=True))

    def normalize_inputs(self, mean: float, std: float) -> None:
        """Subtract `mean` from the first floating-point input and divide it by `std`."""

        def hook(model: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            for place, value in enumerate(args):
                if isinstance(value, Tensor) and value.is_floating_point():
                    return (*args[:place], (value - mean) / std, *args[place + 1 :]), kwargs
            for name, value in kwargs.items():
                if isinstance(value, Tensor) and value.is_floating_point():
                    return args, kwargs | {name: (value - mean) / std}
            return None

        handle = self._model.register_forward_pre_hook(hook, prepend=True, with_kwargs=True)
        self._hook("inputs", handle)

    def correct_for_classes(self, counts: np.ndarray, is_due: Callable[[], bool]) -> None:
        """Add the logarithm of each class's share of the rows to the logits in training, as long as `is_due`.

        What is learned then is how rows speak for a class beyond how common it is (logit adjustment: Menon et al., 2021,
        arXiv:2007.07314). An output that is no (rows, classes), or a loss that the model computes itself, is left alone.
        """

        def hook(model: nn.Module, _: Any, output: Any) -> Any:
            if not (torch.is_grad_enabled() and model.training):
                return None
            logits = getattr(output, "logits", output)
            is_logits = isinstance(logits, Tensor) and logits.is_floating_point() and logits.dim() == 2
            self.can_correct = is_logits and logits.shape[1] >= max(2, len(counts))
            self.can_correct &= getattr(output, "loss", None) is None
            if not self.can_correct or not is_due():
                return None
            rows = torch.full((logits.shape[1],), _ABSENT).to(logits)
            rows[: len(counts)] = torch.as_tensor(counts).to(logits).clamp_min(_ABSENT)
            corrected = logits + (rows / rows.sum()).log()
            if isinstance(output, Tensor):
                return corrected
            output.logits = corrected
            return output

        self._hook("classes", self._model.register_forward_hook(hook))

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles.values():
            handle.remove()

    def _hook(self, name: str, handle: RemovableHandle) -> None:
        if name in self._handles:
            self._handles[name].remove()
        self._handles[name] = handle


def put_into(optimizer: Optimizer, names: Sequence[str], parameters: dict[str, nn.Parameter]) -> list[str]:
    """Put `names` into the group of the parameter that stands next to each in the model; return those that were not in.

    They join a group and make none of their own: a schedule has one rate a group and would stumble over another.
    """
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    order = list(parameters)
    added = []
    for name in names:
        parameter = parameters[name]
        if id(parameter) in group_of:
            continue
        place = order.index(name)
        beside = sorted(
            (abs(place - other), other)
            for other in range(len(order))
            if id(parameters[order[other]]) in group_of
        )
        if not beside:
            continue
        group = group_of[id(parameters[order[beside[0][1]]])]
        group["params"].append(parameter)
        group_of[id(parameter)] = group
        parameter.grad = None
        added.append(name)
    return added


def draw_anew(model: nn.Module, modules: Sequence[nn.Module], optimizer: Optimizer) -> None:
    """Give the own parameters of `modules` new values, and forget their moments.

    A module of PyTorch draws them by `reset_parameters`, one of a transformer as when it was made. What neither changes
    gets a normal distribution of standard deviation 1/√inputs. The training's random numbers stay as they were.
    """
    draw: Callable[[nn.Module], object] | None = getattr(model, "_init_weights", None)
    devices = {parameter.device for module in modules for parameter in module.parameters(recurse=False)}
    with torch.random.fork_rng([one.index for one in devices if one.type == "cuda"]), torch.no_grad():
        for module in modules:
            own = list(module.parameters(recurse=False))
            before = [parameter.detach().clone() for parameter in own]
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif draw is not None:
                draw(module)
            for parameter, old in zip(own, before, strict=True):
                if parameter.dim() >= 2 and torch.equal(parameter, old):
                    parameter.normal_(std=1 / math.sqrt(parameter[0].numel()))
                optimizer.state.pop(parameter, None)
                parameter.grad = None

"""Modules that work differently in training and in evaluation, and which of the two they are in."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd


class Modes:
    """The modules of a model that switch: dropout above 0, batch normalisation with running statistics."""

    def __init__(self, model: nn.Module) -> None:
        modules = dict(model.named_modules())
        self.switching = {name: module for name, module in modules.items() if _switches(module)}
        self._parents = {name: modules[name.rpartition(".")[0]] for name in self.switching}
        self._around = {name: _around(name, modules) for name in self.switching}

    def in_training(self) -> list[str]:
        """Return the names of those in training mode now."""
        return [name for name, module in self.switching.items() if module.training]

    def in_evaluation(self) -> list[str]:
        """Return the names of those in evaluation mode now, though the module around them trains.

        Normalisation that was set to it by itself, as is usual with small batches, is left out.
        """
        return [
            name
            for name, module in self.switching.items()
            if not module.training
            and any(p.requires_grad for p in self._around[name].parameters())
            and not (isinstance(module, _BatchNorm) and self._parents[name].training)
        ]


def _switches(module: nn.Module) -> bool:
    match module:
        case _DropoutNd():
            return module.p > 0
        case _BatchNorm():
            return module.track_running_stats
        case nn.RNNBase() | nn.MultiheadAttention():
            return module.dropout > 0
    return False


def _around(name: str, modules: dict[str, nn.Module]) -> nn.Module:
    """Return the module itself if it has parameters, else the nearest around it that has some."""
    path = name.split(".") if name else []
    for depth in range(len(path), -1, -1):
        module = modules[".".join(path[:depth])]
        if next(module.parameters(), None) is not None:
            return module
    return modules[""]

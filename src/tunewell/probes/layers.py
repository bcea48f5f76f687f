"""The layers of any model: which parameter belongs to which, in the order in which a forward pass comes to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Layers:
    """Layers by the path of their module, such as ``conv1``, ``encoder.layer.3`` or ``classifier``."""

    of: dict[str, str]
    """Layer of each parameter, by the parameter's name."""
    order: list[str]
    """Distinct layers from input to output."""
    output: str
    """Layer that makes the outputs: the last one with a matrix of weights; empty: not known."""
    embeddings: frozenset[str]
    """Layers that are tables of embeddings, whose unused rows rightly get no gradient."""


def layers_of(model: nn.Module, called: Mapping[nn.Module, int] | None = None) -> Layers:
    """Return the layers of `model`.

    A repeated block (an element of a `ModuleList` or `Sequential` that holds two or more of its class) is one layer;
    elsewhere each module with parameters of its own is one. Normalisation joins the layer before it: it has no matrix
    of weights. `called` numbers the modules as one forward pass began them; without it the order is that of
    registration.
    """
    modules = dict(model.named_modules())
    called = called or {}
    of: dict[str, str] = {}
    place: dict[str, tuple[int, int]] = {}
    has_matrix: set[str] = set()
    embeddings: set[str] = set()
    output, last_place = "", (-1, -1)
    for number, (name, parameter) in enumerate(model.named_parameters()):
        path = _layer(name.split(".")[:-1], modules)
        of[name] = path
        owner = name.rpartition(".")[0]
        here = _called_at(owner, modules, called), number
        place[path] = min(place.get(path, here), here)
        if parameter.dim() >= 2:
            has_matrix.add(path)
            if isinstance(modules[owner], nn.Embedding | nn.EmbeddingBag):
                embeddings.add(path)
            if here >= last_place:
                output, last_place = path, here
    order = sorted(place, key=lambda path: place[path])
    tied = _tied_output(model, modules, called, last_place)
    return _joined(of, order, has_matrix, tied or output, frozenset(embeddings))


def _layer(path: Sequence[str], modules: Mapping[str, nn.Module]) -> str:
    for depth in range(len(path)):
        parent, child = modules[".".join(path[:depth])], modules[".".join(path[: depth + 1])]
        if isinstance(parent, nn.ModuleList | nn.Sequential) and any(True for _ in child.children()):
            alike = Counter(type(one) for one in parent.children())
            if alike[type(child)] > 1:
                return ".".join(path[: depth + 1])
    return ".".join(path) or "model"


def _called_at(owner: str, modules: Mapping[str, nn.Module], called: Mapping[nn.Module, int]) -> int:
    """Return when `owner`, or else the nearest module around it that was called, began; -1: none was."""
    path = owner.split(".") if owner else []
    for depth in range(len(path), 0, -1):
        number = called.get(modules[".".join(path[:depth])])
        if number is not None:
            return number
    return -1


def _tied_output(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    called: Mapping[nn.Module, int],
    last_place: tuple[int, int],
) -> str:
    """Return the layer of an output module whose weights are another layer's too, as in many language models."""
    own = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    later = [
        (called[module], name)
        for name, module in modules.items()
        if name not in own
        and called.get(module, -1) > last_place[0]
        and any(parameter.dim() >= 2 for parameter in module.parameters(recurse=False))
    ]
    return max(later)[1] if later else ""


def _joined(
    of: dict[str, str], order: list[str], has_matrix: set[str], output: str, embeddings: frozenset[str]
) -> Layers:
    """Return the layers with those that have no matrix joined to the one before, or the first to the next."""
    joins: dict[str, str] = {}
    before = next((path for path in order if path in has_matrix), "")
    for path in order:
        before = path if path in has_matrix else before
        joins[path] = before or path
    return Layers(
        of={name: joins[path] for name, path in of.items()},
        order=[path for path in order if joins[path] == path],
        output=output,
        embeddings=embeddings,
    )

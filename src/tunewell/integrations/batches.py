"""Batches of other people's loops: tensors in any nest of tuples, lists and mappings, rows along their first dimension."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

TARGETS = ("label", "target")
"""What arguments of a model that are no inputs are called."""
IGNORED = -100
"""The target that PyTorch's losses pass over."""


def rows_of(batch: Any) -> int | None:
    """Return the rows that all tensors of `batch` have; None where they differ or there is no tensor with rows."""
    sizes = {tensor.shape[0] if tensor.dim() else None for tensor in _tensors(batch)}
    return sizes.pop() if len(sizes) == 1 else None


def take(batch: Any, rows: Sequence[int]) -> Any:
    """Return `batch` with only these rows of every tensor."""
    return _each(batch, lambda tensor: tensor[torch.as_tensor(list(rows), device=tensor.device)])


def padded(batch: Any, positions: int) -> Any | None:
    """Return a mapping of (batch, length) tensors with more positions that the mask hides; None for anything else."""
    if not isinstance(batch, Mapping) or not {"input_ids", "attention_mask"} <= set(batch):
        return None
    shape = batch["input_ids"].shape
    longer = {}
    for name, value in batch.items():
        if isinstance(value, Tensor) and value.shape == shape:
            filler = IGNORED if any(word in name for word in TARGETS) else 0
            longer[name] = torch.cat([value, value.new_full((shape[0], positions), filler)], dim=1)
        else:
            longer[name] = value
    return _like(batch, longer)


@contextmanager
def outputs_of(model: nn.Module) -> Iterator[list[Tensor]]:
    """Gather what each call of `model` gives, (rows, …) each, as long as this lasts."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        tensor = _logits(output)
        if tensor is not None:
            seen.append(tensor.detach())

    hook = model.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def shuffled_inputs(model: nn.Module, rows: int) -> Iterator[None]:
    """Let each row of a call of `model` get the inputs of the row before it; targets stay."""

    def moved(tensor: Tensor) -> Tensor:
        return tensor.roll(1, dims=0) if tensor.dim() and tensor.shape[0] == rows else tensor

    def shuffle(_: nn.Module, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return _each(inputs, moved), {
            name: value if any(word in name for word in TARGETS) else _each(value, moved)
            for name, value in named.items()
        }

    hook = model.register_forward_pre_hook(shuffle, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _logits(output: Any) -> Tensor | None:
    named = getattr(output, "logits", None)
    if named is None and isinstance(output, Mapping):
        named = output.get("logits")
    if isinstance(named, Tensor):
        return named
    return next((tensor for tensor in _tensors(output) if tensor.is_floating_point() and tensor.dim()), None)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return `value` with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return _like(value, {name: _each(part, change) for name, part in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_each(part, change) for part in value))
    if isinstance(value, list | tuple):
        return type(value)(_each(part, change) for part in value)
    return value


def _like(mapping: Mapping[str, Any], values: dict[str, Any]) -> Any:
    """Return `values` as the same kind of mapping, such as transformers' batches, which also have attributes."""
    if type(mapping) is dict:
        return values
    found: Any = copy.copy(mapping)
    if hasattr(mapping, "data"):
        found.data = dict(mapping.data)
    for name, value in values.items():
        found[name] = value
    return found

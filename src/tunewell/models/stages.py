"""Which parameters a stage trains: frozen first, unfrozen after."""

from __future__ import annotations

import fnmatch
import re

from torch import nn

from tunewell.models.layers import EMBEDDINGS, HEAD, layer_by_parameter, layer_order, word_embeddings
from tunewell.problems import Problem, RecipeError


def set_trainable(model: nn.Module, train: str, *, freeze_embeddings: bool = False) -> list[str]:
    """Let exactly the parameters that `train` names require gradients; return their names in the model's order.

    `train` is ``all``, ``head``, ``top N`` or comma-separated name patterns (see `recipe.Stage.train`).
    `freeze_embeddings` leaves the token embedding table out of whatever is named. Raises `RecipeError` when a pattern
    names nothing or nothing is left to train.
    """
    layers = layer_by_parameter(model)
    chosen = set(_chosen(train, layers))
    if freeze_embeddings and (table := word_embeddings(model)) is not None:
        chosen -= {name for name, parameter in model.named_parameters() if parameter is table.weight}
    if not chosen:
        raise RecipeError(_names_nothing(train, layers))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return [name for name in layers if name in chosen]


def _chosen(train: str, layers: dict[str, str]) -> list[str]:
    if train == "all":
        return list(layers)
    if train == "head":
        return [name for name, layer in layers.items() if layer == HEAD]
    if top := re.fullmatch(r"top[ _:]?(\d+)", train):
        order = [layer for layer in layer_order(layers) if layer not in (EMBEDDINGS, HEAD)]
        count = int(top[1])
        kept = {HEAD, *(order[-count:] if count else [])}
        return [name for name, layer in layers.items() if layer in kept]
    patterns = [pattern.strip() for pattern in train.split(",") if pattern.strip()]
    found = {pattern: [n for n in layers if fnmatch.fnmatchcase(n, pattern)] for pattern in patterns}
    if unknown := [pattern for pattern, names in found.items() if not names]:
        raise RecipeError([_names_nothing(pattern, layers) for pattern in unknown])
    return [name for names in found.values() for name in names]


def _names_nothing(train: str, layers: dict[str, str]) -> Problem:
    return Problem(
        "recipe",
        f"`train: {train}` names no parameter of the model",
        field="stages",
        fix=f"use all, head, top N, or a pattern such as `{next(reversed(layers), 'classifier')}`",
    )

"""Whether a model's configuration can belong to its weights, before anything of that size is built."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from tunewell.problems import ModelError, Problem

_LONGEST_HEADER = 100 << 20
"""Bytes; the format itself allows no longer one."""
_MOST_LABELS = 100_000
_SIDES = ("_size", "_embeddings", "_dim")
"""Ends of the names of settings that are a side of some weight."""
_FIX = "use the config.json that belongs to the weights"


def refuse_oversized(config: Any, folder: Path, name: str) -> None:
    """Raise `ModelError` where `config` asks for more layers or wider ones than the weights in `folder` can fill.

    A configuration is a few lines of text: without this, one wrong digit in it fills the memory. Models without
    a `model.safetensors` are not looked at.
    """
    shapes = stored_shapes(folder / "model.safetensors")
    if shapes is None:
        return
    text = config.get_text_config()
    layers = getattr(text, "num_hidden_layers", None)
    if isinstance(layers, int) and layers > len(shapes):
        what = (
            f"config.json of `{name}` asks for {layers:,} layers, but its weights are {len(shapes):,} tensors"
        )
        raise ModelError(Problem("model", what, field="model", fix=_FIX))
    numbers = sum(map(math.prod, shapes))
    for side, width in text.to_dict().items():
        if side.endswith(_SIDES) and isinstance(width, int) and width > numbers:
            what = f"config.json of `{name}` has {side} {width:,}, but its weights hold {numbers:,} numbers in all"
            raise ModelError(Problem("model", what, field="model", fix=_FIX))


def refuse_many_labels(folder: Path, name: str) -> None:
    """Raise `ModelError` where config.json names more labels than any model has: the loader makes a name for each."""
    try:
        labels = json.loads((folder / "config.json").read_bytes()).get("num_labels")
    except (OSError, ValueError, RecursionError, AttributeError):
        return  # the loader tells what is wrong with it
    if isinstance(labels, int | float) and labels > _MOST_LABELS:
        what = f"config.json of `{name}` has num_labels {labels:,}: more than {_MOST_LABELS:,}"
        raise ModelError(Problem("model", what, field="model", fix=_FIX))


def stored_shapes(file: Path) -> list[list[int]] | None:
    """Return the shapes of the tensors that a safetensors file names; None when there is no readable one."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LONGEST_HEADER:
                return None
            header = json.loads(stream.read(length))
        shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    except (OSError, struct.error, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None  # the loader tells what is wrong with it
    whole = all(isinstance(shape, list) and all(isinstance(n, int) for n in shape) for shape in shapes)
    return shapes if whole else None

"""Units that have gone silent or are stuck at their bounds, as the autograd graph of one loss shows them.

The graph keeps what each activation gave, whether it was a module or a function call, so nothing has to be hooked.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from tunewell.probes import graph
from tunewell.probes.graph import Node
from tunewell.probes.samples import evenly

_MOST_NODES = 20_000
_MOST_ACTIVATIONS = 64
_POSITIONS = 256
"""Rows and positions looked at of an activation: a unit that is silent in so many is silent."""
_FEWEST = 8
"""Of fewer positions nothing follows: a unit may rest for them by chance. In eight, 95 % of the units do so only if each
speaks for less than one row in a hundred."""
_SILENT_BELOW = {"ReluBackward0": 0.0, "GeluBackward0": -3.0, "SiluBackward0": -6.0}
"""Input up to which an activation lets (nearly) nothing through; a GELU's slope at -3 is -0.012, a SiLU's at -6 too."""
_BOUNDED = {"SigmoidBackward0": (0.0, 1.0), "TanhBackward0": (-1.0, 1.0)}
_NEAR = 0.01
"""An output is at its bound within this share of the range: the slope is then under 4 % of its largest."""
_BY_CHANNEL = ("Convolution", "BatchNorm", "MaxPool", "AvgPool", "InstanceNorm", "GroupNorm")


def silent_and_saturated(
    loss: Tensor, names: Mapping[Tensor, str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return by activation the share of silent units, and of outputs at their bounds, as 0-d tensors.

    Call it before the backward pass. `names` gives the layer of each parameter. An activation is named after the layer
    whose output it takes: ``conv1.relu``. NaN: over fewer than 8 rows and positions nothing can be told.
    """
    silent: dict[str, list[Tensor]] = {}
    saturated: dict[str, list[Tensor]] = {}
    seen: Counter[str] = Counter()
    with torch.no_grad():
        for node in graph.nodes(loss, _MOST_NODES):
            kind = node.name()
            if kind not in _SILENT_BELOW and kind not in _BOUNDED:
                continue
            if sum(seen.values()) >= _MOST_ACTIVATIONS:
                break
            layer, by_channel = _source(node, names)
            name = f"{layer}.{kind.removesuffix('Backward0').lower()}" if layer else kind
            seen[name] += 1
            if kind in _BOUNDED:
                saturated.setdefault(name, []).append(_at_bounds(node._saved_result, _BOUNDED[kind]))
            else:
                silent.setdefault(name, []).append(_silent_share(node, kind, by_channel))
    # From input to output, as people read a model.
    return _means(silent), _means(saturated)


def _means(shares: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack(values).mean() for name, values in reversed(list(shares.items()))}


def _source(node: Node, names: Mapping[Tensor, str]) -> tuple[str, bool]:
    """Return the layer whose output `node` takes, and whether its units are channels (dimension 1)."""
    by_channel = False
    for behind in graph.behind(node, 64):
        kind = behind.name()
        by_channel = by_channel or any(word in kind for word in _BY_CHANNEL)
        variable = getattr(behind, "variable", None)
        if variable is not None and variable in names:
            return names[variable], by_channel
    return "", by_channel


def _silent_share(node: Node, kind: str, by_channel: bool) -> Tensor:
    bound = _SILENT_BELOW[kind]
    taken: Tensor = node._saved_result if kind == "ReluBackward0" else node._saved_self
    units = _positions(taken.detach(), by_channel) if taken.dim() >= 2 else taken[None, :0]
    if len(units) < _FEWEST:
        return torch.tensor(math.nan, device=taken.device)
    return (units <= bound).all(dim=0).float().mean()


def _positions(values: Tensor, by_channel: bool) -> Tensor:
    """Return (positions, units) some of the rows and positions of `values`, whose units are channels or come last."""
    if not by_channel or values.dim() == 2:
        return evenly(values.flatten(0, -2), _POSITIONS)
    rows = evenly(
        values.flatten(2), _POSITIONS
    )  # (rows, channels, positions): thinned out before it is copied
    places = evenly(rows.movedim(2, 0), max(1, _POSITIONS // len(rows)))
    return places.flatten(0, 1)


def _at_bounds(outputs: Tensor, bounds: tuple[float, float]) -> Tensor:
    low, high = bounds
    margin = _NEAR * (high - low)
    flat = evenly(outputs.detach().flatten(), 64 * _POSITIONS)
    return ((flat < low + margin) | (flat > high - margin)).float().mean()

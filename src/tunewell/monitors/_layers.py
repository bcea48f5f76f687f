"""Each layer's gradient beside its own past: sampled norms as logarithms, since their noise is a factor."""

from __future__ import annotations

import math

from tunewell.monitors._statistics import is_usable, median, pushed

SAMPLES = 6
"""Samples of a layer that are kept."""
FEWEST = 3
"""Samples that show what is usual for a layer."""

History = dict[str, list[float]]
"""By layer, in the order of the record: logarithms of its last norms."""


def remembered(history: History, norms: dict[str, float]) -> History:
    """Return `history` with a sample of all layers; norms that are zero or not finite say nothing of what is usual."""
    return {
        name: pushed(history.get(name, []), math.log(norm), SAMPLES)
        if _is_usual(norm)
        else history.get(name, [])
        for name, norm in norms.items()
    }


def growth(history: History, norms: dict[str, float]) -> dict[str, float]:
    """Return how many times its usual norm each layer has, for layers whose usual norm is known."""
    return {
        name: norm / math.exp(median(history[name]))
        for name, norm in norms.items()
        if len(history.get(name, ())) >= FEWEST and is_usable(norm)
    }


def usual(history: History) -> dict[str, float]:
    """Return each layer's usual norm, where it is known."""
    return {name: math.exp(median(norms)) for name, norms in history.items() if len(norms) >= FEWEST}


def _is_usual(norm: float) -> bool:
    return is_usable(norm) and norm > 0

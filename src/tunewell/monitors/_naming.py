"""Layers and sizes in a sentence."""

from __future__ import annotations

from collections.abc import Sequence


def named(layers: Sequence[str], most: int = 3) -> str:
    """Return the first `most` names and how many more there are: ``a, b, c and 4 more``."""
    shown = ", ".join(layers[:most])
    return f"{shown} and {len(layers) - most} more" if len(layers) > most else shown


def size(count: float) -> str:
    """Return a number of bytes as a person writes it: ``3.2 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"

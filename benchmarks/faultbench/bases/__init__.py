"""The healthy runs that faults are planted in: one file each, whose name is the base's."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.faultbench.training import Training


@dataclass(frozen=True)
class Base:
    """A small fine-tuning run that learns."""

    scored: bool
    """False: thresholds may be tuned on it. True: nothing may, it only counts."""
    build: Callable[[int], Training]
    """Seed → model, rows and settings."""
    about: str
    """One sentence for the page."""
    without: dict[str, str] = field(default_factory=dict)
    """Faults and healthy variants that mean nothing here, and why."""
    apart: bool = False
    """Reported beside the others, not among them."""
    seeds: int | None = None
    """At most so many, where a run takes long."""


def find() -> dict[str, Base]:
    """Return all bases by name."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )
    return {name: importlib.import_module(f"{__name__}.{name}").BASE for name in names}

"""One fault a file: records in, findings out. Pure functions, no torch."""

from __future__ import annotations

from tunewell.monitors._build import build, from_recipe, ignored
from tunewell.monitors._incidents import Incident
from tunewell.monitors._protocol import Monitor, State, Verdict
from tunewell.monitors._scores import is_falling
from tunewell.monitors._watch import Watch

__all__ = [
    "Incident",
    "Monitor",
    "State",
    "Verdict",
    "Watch",
    "build",
    "from_recipe",
    "ignored",
    "is_falling",
]

"""What a reader of another tool's log returns, whatever the tool: rows of numbers by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

Value = float | str | None
"""As the file has it: None where it has null or an empty cell, a text where it has one."""


@dataclass(frozen=True)
class Row:
    """One entry of a log. `place` is its line in the file (from 1) or, in files without lines, its number."""

    place: int
    values: dict[str, Value]


@dataclass(frozen=True)
class ForeignLog:
    """One run's log, as another tool wrote it.

    `rows` are in the order of the file. `averaged`: a training loss is the mean over the updates since the one
    before, not that of a single update. `filtered`: a loss that was not finite may stand as 0 or as an average.
    """

    file: Path
    tool: str
    """What wrote it, such as ``transformers``."""
    rows: list[Row]
    averaged: bool = False
    filtered: bool = False
    total_steps: int = 0
    """Updates that were planned; 0: not known."""
    num_classes: int = 0
    """Classes of a single-label task; 0: not known."""
    notes: list[str] = field(default_factory=list)
    """What the reader guessed or left out, in sentences."""

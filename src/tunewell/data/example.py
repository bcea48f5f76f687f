"""One row as the task sees it, and the row before its label was understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Target = int | float | list[int]
"""A class index, a number, or the indexes of the classes that hold (several labels)."""


@dataclass(frozen=True, slots=True)
class Example:
    """A row that can be trained on or evaluated.

    `row` is unique over all splits and the same whenever the same files are read; `place` is ``file:line``.
    """

    row: int
    place: str
    text: str
    text_pair: str | None
    target: Target


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row whose text is cleaned and whose label is as the file spells it."""

    row: int
    split: str
    file: str
    line: int
    text: str
    text_pair: str | None
    label: Any
    group: Any = None

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"

"""Errors that users can mend: each names its place, the value found and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input.

    `kind` is ``recipe``, ``data``, ``model``, ``run``, ``log`` or ``disk``; `file` and `line` (from 1) say where, `field`
    names the key or column, `fix` how to mend it.
    """

    kind: str
    message: str
    file: str = ""
    line: int | None = None
    field: str = ""
    fix: str = ""

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line is not None else "")
        place = "  ".join(part for part in (place, self.field) if part)
        lines = [f"error[{self.kind}]: {self.message}"]
        if place:
            lines.append(f"  --> {place}")
        if self.fix:
            lines.append(f"  {self.fix}")
        return "\n".join(lines)


class InputError(ValueError):
    """Bad input: nothing was started. `problems` holds every problem found (the CLI exits with 2)."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class RecipeError(InputError):
    """The recipe can't be used."""


class DataError(InputError):
    """The data can't be used."""


class ModelError(InputError):
    """The model can't be loaded or does not fit the task."""


class RunError(InputError):
    """The run folder can't be used as asked."""


class LogError(InputError):
    """A log that another tool wrote can't be read."""


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Return the one of `known` that `word` most likely meant, or None."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else None

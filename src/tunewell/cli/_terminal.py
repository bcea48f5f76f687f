"""What all verbs print with: messages on stderr, coloured where a terminal shows it and NO_COLOR does not forbid."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tunewell.data.spelling import printable

if TYPE_CHECKING:
    from rich.console import Console


@functools.cache
def messages() -> Console:
    """Return the console of messages: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """Print a message; the style `problem` colours the text of a `Problem`."""
    text = printable(text)
    if not sys.stderr.isatty():
        print(text, file=sys.stderr)
        return
    from rich.text import Text

    shown = Text(text, style="" if style == "problem" else style)
    if style == "problem":
        shown.highlight_regex(r"\Aerror\[\w+\]", "bold red")
        shown.highlight_regex(r"\A.*", "bold")
        shown.highlight_regex(r"\n  -->.*", "cyan")
    messages().print(shown)


def next_command(command: str) -> None:
    """Print what to run next."""
    say(f"next: {command}", style="green")


def aligned(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Return `rows` as lines with their columns under one another; columns in `right` end on one line.

    What would change the screen, such as an escape in a run's name, is spelled out.
    """
    from rich.cells import cell_len

    rows = [[printable(cell) for cell in row] for row in rows]
    right = set(right)
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if column in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines

"""`tunewell approve`."""

from __future__ import annotations

from tunewell.cli._answer import Number, tell
from tunewell.cli._options import RunName


def approve(run: RunName, number: Number = None, /) -> None:
    """Let a run do what it proposed: see `on: ask` in a recipe, and `tunewell why` for what waits.

    Example: tunewell approve movie_reviews 3
    """
    tell(run, number, approve=True)

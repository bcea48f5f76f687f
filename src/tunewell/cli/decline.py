"""`tunewell decline`."""

from __future__ import annotations

from tunewell.cli._answer import Number, tell
from tunewell.cli._options import RunName


def decline(run: RunName, number: Number = None, /) -> None:
    """Answer no to what a run proposed; it goes on without, and does not ask that again.

    Example: tunewell decline movie_reviews 3
    """
    tell(run, number, approve=False)

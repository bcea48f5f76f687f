"""Notices when a run stands still, and says where: in data, a step, an evaluation or a save."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 120.0
"""Seconds without a sign of life that are not a stall yet, whatever the phase."""
_TIMES_LONGEST = 10.0
"""A phase may take this many times as long as it ever did."""
_LOOKS_PER_PATIENCE = 8


class Watchdog:
    """A thread that waits for `beat`; when none comes it calls `tell` once, with the stacks of all threads.

    What is tolerated grows with what was seen: a model whose steps take a minute is not stalled after two.
    """

    def __init__(self, tell: Callable[[str], None], patience: float | None = None) -> None:
        self._tell, self._patience = tell, PATIENCE if patience is None else patience
        self._phase, self._since = "start", time.monotonic()
        self._longest: dict[str, float] = {}
        self._told = 0.0
        self._over = threading.Event()

    def beat(self, phase: str) -> float:
        """Note that the run lives and what it begins to do; return the seconds of the stall that this ends, or 0."""
        now = time.monotonic()
        took = now - self._since
        told, self._told = self._told, 0.0
        if took > self._longest.get(self._phase, 0.0):
            self._longest[self._phase] = took
        self._phase, self._since = phase, now
        return took if told else 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch from another thread meanwhile."""
        self.beat("start")
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._patience / _LOOKS_PER_PATIENCE):
            phase, since = self._phase, self._since
            quiet = time.monotonic() - since
            if not self._told and quiet > max(self._patience, _TIMES_LONGEST * self._longest.get(phase, 0.0)):
                self._told = quiet
                self._tell(
                    f"nothing has moved for {quiet:,.0f} s in {phase}; the threads stand at:\n{stacks()}"
                )


def stacks() -> str:
    """Return where every thread of this process stands, innermost call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for number, frame in sys._current_frames().items():
        if number != threading.get_ident():
            calls = "".join(traceback.format_stack(frame)).rstrip()
            parts.append(f"{names.get(number, number)}:\n{calls}")
    return "\n".join(parts)

"""SIGTERM and Ctrl-C as a flag that the run polls; a second Ctrl-C aborts at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """The signal that came, by name, or None."""

    def __init__(self) -> None:
        self.name: str | None = None

    def came(self) -> bool:
        """Tell whether a signal came."""
        return self.name is not None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Catch signals meanwhile; does nothing outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.name == name == "SIGINT":
            raise KeyboardInterrupt
        self.name = name

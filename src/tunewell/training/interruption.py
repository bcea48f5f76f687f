"""SIGTERM, Ctrl-C and a closed terminal: at once where nothing would be lost, else as a flag that the run polls; a second Ctrl-C aborts."""

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
        self.has_work = False
        """Whether there is something to save: until then a signal ends the process where it stands."""

    def came(self) -> bool:
        """Tell whether a signal came."""
        return self.name is not None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Catch signals meanwhile; does nothing outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            wanted.append(signal.SIGHUP)  # not under `nohup`, which asks to go on without a terminal
        before = {number: signal.signal(number, self._note) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        repeated = self.name == name == "SIGINT"
        if repeated or not self.has_work:
            raise KeyboardInterrupt if name == "SIGINT" else SystemExit(128 + number)
        self.name = name

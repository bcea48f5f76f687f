"""One run that is looked at: its log, what is derived of it, and who waits for news of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

from tunewell.runs.folder import RunFolder
from tunewell.runs.live import LiveLog

_MOST_KEPT = 32


class WatchedRun:
    """What the server keeps of a run that somebody looked at; `lock` is held while its log is read or asked."""

    def __init__(self, run_id: str, folder: RunFolder) -> None:
        self.id = run_id
        self.folder = folder
        self.log = LiveLog(folder.log)
        self.lock = threading.Lock()
        self.version = 0
        """Raised by every change."""
        self.story_version = 0
        """Raised by every change but new updates."""
        self.used = time.monotonic()
        self.listeners: set[asyncio.Event] = set()
        self.kept: dict[object, bytes] = {}
        """What was made for one client and serves the others too, by what it is."""
        self.overview: tuple[int, dict[str, Any]] | None = None
        """The newest overview and the `story_version` it is of."""
        self.overview_made = 0.0
        self.changed = 0.0
        """When something last changed (monotonic)."""
        self._smooth: dict[tuple[str, float], tuple[int, int, array[float]]] = {}
        self.indexes: dict[str, object] = {}
        """Where lines of a kind stand in the log, by kind."""
        self._seen: tuple[object, ...] = ()

    def refresh(self) -> bool:
        """Read what is new in the run's folder and return whether anything was; call it with the `lock` held."""
        before = (self.log.generation, len(self.log.columns), self.log.position)
        with contextlib.suppress(FileNotFoundError):  # a run that has not begun to log
            self.log.advance()
        after = (self.log.generation, len(self.log.columns), self.log.position)
        story = (
            self.log.read_anew,
            len(self.log.records),
            self.log.damaged,
            _size(self.folder.inbox),
            _size(self.folder.rows),
            self.folder.holder() is not None,
        )
        changed = after != before or story != self._seen
        if story != self._seen:
            self._seen = story
            self.story_version += 1
        if changed:
            self.version += 1
            self.changed = time.monotonic()
        return changed

    def is_over(self) -> bool:
        """Whether nobody trains here, as of the last `refresh`."""
        return bool(self._seen) and not self._seen[-1]

    def keep(self, what: object, make: Callable[[], bytes]) -> bytes:
        """Return what `make` makes, made once for all who ask for the same."""
        found = self.kept.get(what)
        if found is None:
            found = self.kept[what] = make()
            while len(self.kept) > _MOST_KEPT:
                del self.kept[next(iter(self.kept))]
        return found

    def smoothed(self, key: str, half_life: float, values: array[float]) -> array[float]:
        """Return the smoothed `values` of column `key`, remembered until the log grows."""
        from tunewell.runs.downsample import smoothed

        stamp = (self.log.generation, len(values))
        found = self._smooth.get((key, half_life))
        if found is None or found[:2] != stamp:
            found = (*stamp, smoothed(values, half_life))
            self._smooth[key, half_life] = found
            while len(self._smooth) > 4:
                del self._smooth[next(iter(self._smooth))]
        return found[2]

    def wake(self) -> None:
        """Tell all who wait that something changed."""
        for listener in self.listeners:
            listener.set()

    @property
    def bytes(self) -> int:
        """Memory taken, about."""
        undone = sum(piece.columns.bytes for piece in self.log.undone)
        smooth = sum(8 * len(values) for _, _, values in self._smooth.values())
        return self.log.columns.bytes + undone + smooth + 2_000 * len(self.log.records)


def _size(path: Any) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (-1, 0)
    return found.st_size, found.st_mtime_ns

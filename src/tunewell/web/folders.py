"""Folders that somebody looks at: told by the kernel when a file in them changes, and asked where it can't tell."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

_STEP_MS = 25
_DEBOUNCE_MS = 50
_POLL_MS = 500
_FAR = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "lustre",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
}
"""File systems whose other machines' changes no kernel tells of."""


class Folders:
    """Calls `on_change` with those folders of the present set in which files changed; nothing below them is watched.

    While the set is empty there is no watcher.
    """

    def __init__(self, on_change: Callable[[set[Path]], None]) -> None:
        self._on_change = on_change
        self._wanted: Counter[Path] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        self._watched: frozenset[Path] = frozenset()

    def add(self, folder: Path, *, once: bool = False) -> None:
        """Watch `folder` too; each call is taken back by one of `remove`. `once`: unless it is watched already."""
        if once and self._wanted[folder]:
            return
        self._wanted[folder] += 1
        self._restart()

    def remove(self, folder: Path) -> None:
        """Take back one `add`."""
        if self._wanted[folder] > 1:
            self._wanted[folder] -= 1
        else:
            del self._wanted[folder]
        self._restart()

    def keep_only(self, folders: set[Path]) -> None:
        """Watch no others than `folders` from now on."""
        for folder in set(self._wanted) - folders:
            del self._wanted[folder]
        self._restart()

    async def close(self) -> None:
        """Watch nothing any more."""
        self._wanted.clear()
        self._restart()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _restart(self) -> None:
        if frozenset(self._wanted) == self._watched:
            return
        if self._stop is not None:
            self._stop.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        """Watch the wanted folders, anew whenever the set changes."""
        from watchfiles import awatch

        while self._wanted:
            self._watched = frozenset(self._wanted)
            self._stop = asyncio.Event()
            present = [folder for folder in self._watched if folder.is_dir()]
            by_name = {os.path.realpath(folder): folder for folder in present}
            # What changed while no watcher was there is not told by the new one.
            self._on_change(set(present))
            if not present:
                await self._stop.wait()
                continue
            with contextlib.suppress(FileNotFoundError):  # a folder that was removed at this moment
                async for changes in awatch(
                    *by_name,
                    watch_filter=None,
                    debounce=_DEBOUNCE_MS,
                    step=_STEP_MS,
                    stop_event=self._stop,
                    recursive=False,
                    force_polling=any(_is_far(folder) for folder in present) or None,
                    poll_delay_ms=_POLL_MS,
                ):
                    changed = {
                        folder
                        for _, name in changes
                        for folder in (by_name.get(os.path.dirname(name)), by_name.get(name))
                        if folder is not None
                    }
                    self._on_change(changed)
        self._watched = frozenset()
        self._stop = None


def _is_far(folder: Path) -> bool:
    """Whether `folder` lies on another machine's disk."""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
            kinds = [line.split()[1:3] for line in mounts]
    except OSError:
        return False
    real = os.path.realpath(folder)
    under = [
        (point, kind) for point, kind in kinds if real == point or real.startswith(point.rstrip("/") + "/")
    ]
    return bool(under) and max(under, key=lambda one: len(one[0]))[1] in _FAR

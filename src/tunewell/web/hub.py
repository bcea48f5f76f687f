"""All runs that somebody looks at, kept up to date while somebody does, and forgotten when nobody does for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tunewell.web.folders import Folders
from tunewell.web.listing import Listing
from tunewell.web.root import Root
from tunewell.web.rows import Rows
from tunewell.web.watched import WatchedRun

T = TypeVar("T")

MEMORY = 384 << 20
"""Bytes of columns that are kept of runs nobody waits for."""
_FORGET_AFTER = 600.0
_LOOK_AFTER = 3.0
"""Seconds of silence after which it is asked whether the process that trains is still there."""


class Hub:
    """Reads runs in a few threads, so that a long log never holds up other answers."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.closing = asyncio.Event()
        self.listing = Listing(root)
        self.rows = Rows()
        self.clients = 0
        """Streams that are open."""
        self._runs: dict[str, WatchedRun] = {}
        self._threads = ThreadPoolExecutor(4, "reader")
        self._folders = Folders(self._on_change)
        self._dirty: set[str] = set()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._listened: dict[str, int] = {}
        self._listers: set[asyncio.Event] = set()
        self._list_dirty: set[str] = set()

    async def start(self) -> None:
        """Begin to look after what is kept."""
        self._spawn(self._look_after())

    async def stop(self) -> None:
        """End all streams and threads."""
        self.closing.set()
        self.wake_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.rows.close()
        await self._folders.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def wake_all(self) -> None:
        """Wake every stream."""
        for run in self._runs.values():
            run.wake()
        for listener in self._listers:
            listener.set()

    async def thread(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, done in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def run(self, run_id: str) -> WatchedRun:
        """Return the run of an id, known from now on; raises `NotHereError` where there is none."""
        found = self._runs.get(run_id)
        if found is None:
            found = self._runs[run_id] = WatchedRun(run_id, self.root.run(run_id))
        else:
            self.root.check(found.folder)
        found.used = time.monotonic()
        return found

    async def ask(self, run_id: str, view: Callable[[WatchedRun], T]) -> T:
        """Return the `view` of a run as it is now, made in a thread."""
        run = self.run(run_id)

        def made() -> tuple[T, bool]:
            with run.lock:
                changed = run.refresh()
                return view(run), changed

        result, changed = await self.thread(made)
        if changed:
            run.wake()
        self._forget()
        return result

    def look(self, run_id: str) -> None:
        """Tell those who wait for news of a run that there are some."""
        if run_id in self._runs:
            self._runs[run_id].wake()

    def listen(self, run: WatchedRun, listener: asyncio.Event) -> None:
        """Set `listener` whenever `run` changes, until `leave`."""
        run.listeners.add(listener)
        self._listened[run.id] = self._listened.get(run.id, 0) + 1
        self._folders.add(run.folder.path)

    def leave(self, run: WatchedRun, listener: asyncio.Event) -> None:
        """Undo `listen`."""
        run.listeners.discard(listener)
        self._listened[run.id] -= 1
        if not self._listened[run.id]:
            del self._listened[run.id]
        run.used = time.monotonic()
        self._folders.remove(run.folder.path)

    def listen_to_list(self, listener: asyncio.Event) -> None:
        """Set `listener` whenever a run is added, removed or goes on, until `leave_list`."""
        self._listers.add(listener)
        self._folders.add(self.root.path)
        for folder in self.listing.lively():
            self._folders.add(folder, once=True)

    def leave_list(self, listener: asyncio.Event) -> None:
        """Undo `listen_to_list`."""
        self._listers.discard(listener)
        self._folders.remove(self.root.path)
        if not self._listers:
            self._folders.keep_only(
                {self.root.path, *(self._runs[one].folder.path for one in self._listened)}
            )

    def _on_change(self, folders: set[Path]) -> None:
        """Take note that files in `folders` changed; the run of each is read, once at a time."""
        by_path = {run.folder.path: run for run in self._runs.values() if run.listeners}
        for folder in folders:
            run = by_path.get(folder)
            if run is not None and run.id not in self._dirty:
                self._dirty.add(run.id)
                self._spawn(self._read(run))
            if self._listers:
                self._list_dirty.add("" if folder == self.root.path else folder.name)
        if self._list_dirty and self._listers:
            dirty, self._list_dirty = self._list_dirty, set()
            self._spawn(self._relist(dirty))

    async def _read(self, run: WatchedRun) -> None:
        self._dirty.discard(run.id)  # a change from here on asks for another reading

        def refresh() -> bool:
            with run.lock:
                return run.refresh()

        if await self.thread(refresh):
            run.wake()

    async def _relist(self, names: set[str]) -> None:
        if await self.thread(lambda: self.listing.update(names)):
            for folder in self.listing.lively():
                self._folders.add(folder, once=True)
            for listener in self._listers:
                listener.set()

    async def _look_after(self) -> None:
        """Notice a training that was killed: that changes no file."""
        while True:
            await asyncio.sleep(_LOOK_AFTER)
            for run in list(self._runs.values()):
                silent = time.monotonic() - run.changed > _LOOK_AFTER
                if run.listeners and silent and not run.is_over():
                    await self._read(run)
            if self._listers and (silent_runs := self.listing.silent(_LOOK_AFTER)):
                await self._relist(silent_runs)
            self._forget()

    def _forget(self) -> None:
        """Forget runs that nobody waits for: those not asked for in a while, and the oldest beyond the bound."""
        now = time.monotonic()
        idle = sorted((run for run in self._runs.values() if not run.listeners), key=lambda run: run.used)
        taken = sum(run.bytes for run in idle)
        for run in idle:
            if now - run.used > _FORGET_AFTER or (taken > MEMORY and run is not idle[-1]):
                taken -= run.bytes
                del self._runs[run.id]

    def keep_task(self, task: asyncio.Future[Any]) -> None:
        """Let `task` go on although nobody waits for it; what it raises is nobody's then."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

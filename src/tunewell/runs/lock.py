"""One process holds a run: a lock that the kernel frees when its holder dies, however it dies."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from tunewell.problems import Problem, RunError
from tunewell.runs.disk import in_words

_TRIES = 5  # a reader that looks whether a run is held has the lock for some microseconds
_held: set[IO[bytes]] = set()


class Holder(msgspec.Struct, frozen=True):
    """Who holds a run: process, machine, and since when (seconds since the epoch)."""

    pid: int = 0
    host: str = ""
    since: float = 0.0

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        except (ValueError, OverflowError, OSError):  # no such time: a clock gone wrong, or a damaged file
            return f"process {self.pid} on {self.host}"
        return f"process {self.pid} on {self.host} since {since}"


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # Windows locks bytes, and locked bytes can't be read: lock one beyond the text

    def _try_lock(file: IO[bytes], *, shared: bool) -> bool:
        file.seek(_FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes], *, shared: bool) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` while the body runs; raises `RunError` naming the holder when it is taken."""
    with in_words("lock the run", path):
        file = path.open("ab+", buffering=0)
    try:
        _acquire(file, path)
        _held.add(file)
        yield
    finally:
        _held.discard(file)
        file.close()


def _acquire(file: IO[bytes], path: Path) -> None:
    with in_words("lock the run", path):
        for attempt in range(_TRIES):
            if _try_lock(file, shared=False):
                break
            if attempt == _TRIES - 1:
                run, who = path.parent.name, _read_holder(file)
                fix = "wait for it, stop it, or start another run under another `name`"
                raise RunError(Problem("run", f"{run} is held by {who}", str(path.parent), fix=fix))
            time.sleep(0.01)
        me = Holder(os.getpid(), socket.gethostname(), time.time())
        file.truncate(0)
        file.write(msgspec.json.encode(me))


def holder(path: Path) -> Holder | None:
    """Return who holds the lock file at `path`, or None when nobody does."""
    try:
        with path.open("rb", buffering=0) as file:
            return None if _try_lock(file, shared=True) else _read_holder(file)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def _read_holder(file: IO[bytes]) -> Holder:
    file.seek(0)
    try:
        return msgspec.json.decode(file.read(1 << 12), type=Holder)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
    ):  # it has just taken the lock and not written its name yet
        return Holder()


def _let_go_in_child() -> None:
    # A forked worker shares the lock, and would keep the run held after its parent was killed.
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)

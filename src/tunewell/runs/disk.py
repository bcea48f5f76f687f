"""Writing so that it stays written, and disk errors in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunewell.problems import Problem, RunError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class DiskFullError(RunError):
    """The disk has no room left; what was committed before is untouched."""


def explained(error: OSError, doing: str, path: Path) -> RunError:
    """Return `error` as a `RunError` in words; `doing` completes "can't …", such as ``write the log``."""
    place = str(path)
    if error.errno in _FULL:
        fix = "free some space, then go on with `tunewell resume`; nothing that was saved is lost"
        return DiskFullError(Problem("disk", f"can't {doing}: no space left on the disk", place, fix=fix))
    if error.errno in _READ_ONLY:
        fix = "make the folder writable or choose another with `output_dir`"
        return RunError(Problem("disk", f"can't {doing}: writing is not allowed there", place, fix=fix))
    return RunError(Problem("disk", f"can't {doing}: {error.strerror or error}", place))


@contextmanager
def in_words(doing: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` of the body into a `RunError` (`DiskFullError` where space ran out)."""
    try:
        yield
    except OSError as error:
        raise explained(error, doing, path) from error


def sync_file(path: Path) -> None:
    """Force the bytes of a file down to the disk; it need not be writable (but on Windows)."""
    with path.open("rb+" if os.name == "nt" else "rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Force the names in a folder down to the disk (Windows offers no such call and needs none)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Replace the file at `path` by `content`, whole or not at all, even if power fails."""
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def temporary_of(path: Path) -> Path:
    """Return where `write_durably` writes before it replaces `path`; a process that dies may leave it."""
    return path.with_name(f".{path.name}.writing")

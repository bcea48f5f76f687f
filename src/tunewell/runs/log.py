"""The record of a run on disk: `log.jsonl`, append-only, one record a line."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from tunewell.problems import Problem, RunError
from tunewell.records import Note, Record, Started, decode, encode
from tunewell.runs.disk import in_words, sync_file, sync_folder, write_durably
from tunewell.runs.salvage import Salvaged, salvage_lines

_FLUSH_BYTES = 1 << 16
_FLUSH_SECONDS = 0.1  # a live view sees a step this long after it at most, if steps go on
_CHUNK = 1 << 20

EMPTY_DIGEST = hashlib.sha256().hexdigest()
"""Digest of a log without a record; ``LogWriter.resume(path, 0, EMPTY_DIGEST)`` begins again, keeping the old."""


class LogWriter:
    """Appends records to a log that this process alone writes.

    `append`, `flush` and `position` may be called from any thread, `sync` and `close` from the one that owns the
    log. `append` gathers lines in memory and hands them to the kernel every 64 KiB or 0.1 s. Records that a full
    disk refused stay in memory and are written by the next flush that can.

    After an fsync that failed the kernel may have dropped what it could not write, and tells the next fsync that
    all is well. So the next `sync` doesn't ask again: it reads the file back, compares it with the digest of all
    that was handed over, and writes it whole to a new file. That needs no second copy in memory, and a disk that
    was full for a while costs nothing.
    """

    trimmed: Path | None = None
    """File to which `resume` moved records later than the commit; None: there were none."""
    damaged: Path | None = None
    """The damaged log as `salvage` found it; None: there was none."""
    salvaged: Salvaged = Salvaged()
    """What `salvage` kept and lost; as text a clause for people."""

    def __init__(self, path: Path) -> None:
        """Begin the log of a new run; raises `RunError` where one with records exists or can't be made."""
        if path.exists() and path.stat().st_size > 0:
            fix = f"go on with it: tunewell resume {path.parent.name}"
            raise RunError(Problem("run", "the log already holds records", str(path), fix=fix))
        self._begin(path, 0, hashlib.sha256())

    @classmethod
    def resume(cls, path: Path, length: int, digest: str) -> Self:
        """Go on after the first `length` bytes, whose SHA-256 must be `digest` (both as `position` gave them).

        Whatever comes after them is moved to ``log.trimmed-<n>.jsonl`` beside the log. Raises `RunError`, with
        the log as it was, when those bytes are not there or are damaged.
        """
        with in_words("read the log", path), path.open("rb+") as file:
            running = hashlib.sha256()
            missing = length
            while missing and (chunk := file.read(min(_CHUNK, missing))):
                running.update(chunk)
                missing -= len(chunk)
            if missing or running.hexdigest() != digest:
                what = (
                    f"ends {missing:,} bytes too soon"
                    if missing
                    else f"is damaged in its first {length:,} bytes"
                )
                fix = "an older checkpoint may still fit; tunewell resume tries the older ones by itself"
                raise RunError(Problem("run", f"the log {what}", str(path), fix=fix))
            trimmed = None
            if os.fstat(file.fileno()).st_size > length:
                trimmed = _free_name(path, "trimmed")
                with trimmed.open("xb") as kept:
                    shutil.copyfileobj(file, kept, _CHUNK)
                    kept.flush()
                    os.fsync(kept.fileno())
                sync_folder(path.parent)  # the copy is durable before the original goes
                file.truncate(length)
                os.fsync(file.fileno())
        writer = cls.__new__(cls)
        writer._begin(path, length, running)
        writer.trimmed = trimmed
        return writer

    @classmethod
    def salvage(cls, path: Path, length: int) -> Self:
        """Go on after what can still be read of the first `length` bytes of a damaged, short or missing log.

        The file as it was is kept as ``log.damaged-<n>.jsonl``; `damaged` and `salvaged` tell of it. Raises `RunError`
        when the disk refuses; the log is then as it was.
        """
        damaged, found = None, Salvaged(missing=length)
        with in_words("mend the log", path):
            if path.exists():
                found = salvage_lines(path, length)
                damaged = _free_name(path, "damaged")
                _keep(path, damaged)
            content = b"".join(found.kept)
            write_durably(path, content)
        writer = cls.__new__(cls)
        writer._begin(path, len(content), hashlib.sha256(content))
        writer.damaged, writer.salvaged = damaged, found
        return writer

    def _begin(self, path: Path, length: int, running: hashlib._Hash) -> None:
        self.path = path
        self._length = length
        self._hash = running
        self._lines: list[bytes] = []
        self._line_bytes = 0
        self._unwritten = b""
        self._flushed = time.monotonic()
        self._lock = threading.Lock()
        self._doubtful = False  # an fsync failed: what the kernel holds may be lost
        with in_words("open the log", path):
            self._file = path.open("ab", buffering=0)
            sync_folder(path.parent)

    def append(self, record: Record) -> None:
        """Add one record, as it is; its `time` is the caller's to set."""
        line = encode(record)
        with self._lock:
            self._lines.append(line)
            self._line_bytes += len(line)
            if self._line_bytes >= _FLUSH_BYTES or time.monotonic() - self._flushed >= _FLUSH_SECONDS:
                self._flush()

    def flush(self) -> None:
        """Hand all records to the kernel: they survive this process, not yet a power failure."""
        with self._lock:
            self._flush()

    def sync(self) -> tuple[int, str]:
        """Force all records down to the disk, and return the `position` that survives a power failure.

        Raises `RunError` when the disk fails. What another thread appends meanwhile is not waited for.
        """
        with self._lock:
            self._flush()
            position = self._length, self._hash.hexdigest()
            if self._doubtful:
                self._rewrite()
                return position
        try:
            with in_words("write the log", self.path):
                os.fsync(self._file.fileno())  # not under the lock: a disk may take its time
        except RunError:
            self._doubtful = True
            raise
        return position

    def position(self) -> tuple[int, str]:
        """Return the log's length in bytes and their SHA-256 in hexadecimal; flushes first."""
        with self._lock:
            self._flush()
            return self._length, self._hash.hexdigest()

    def close(self) -> None:
        """Write what is left and close, even if that fails; harmless when repeated."""
        if not self._file.closed:
            with in_words("close the log", self.path):
                try:
                    self.flush()
                finally:
                    self._file.close()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if self._lines:
            added = b"".join(self._lines)
            self._lines.clear()
            self._line_bytes = 0
            self._hash.update(added)
            self._length += len(added)
            self._unwritten += added
        with in_words("write the log", self.path):
            while self._unwritten:
                written = self._file.write(self._unwritten)
                self._unwritten = self._unwritten[written:]

    def _rewrite(self) -> None:
        with in_words("write the log again", self.path):
            content = self.path.read_bytes()
            if hashlib.sha256(content).digest() != self._hash.digest():
                fix = f"go on from the newest checkpoint: tunewell resume {self.path.parent.name}"
                raise RunError(
                    Problem(
                        "disk", "the disk lost a part of the log after it failed", str(self.path), fix=fix
                    )
                )
            try:
                write_durably(self.path, content)
            finally:  # the name may be the new file's already
                self._file.close()
                self._file = self.path.open("ab", buffering=0)
        self._doubtful = False


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a log in order; raises `RunError` when there is none.

    A last line that a crash cut short is left out. A line damaged in the middle is replaced by a `Note` of
    topic ``damage`` that names it, so that one bad sector does not hide a run.
    """
    if not path.is_file():
        fix = "`tunewell runs` lists the runs that are there"
        raise RunError(Problem("run", "there is no log here", str(path), fix=fix))
    return _records(path)


def _records(path: Path) -> Iterator[Record]:
    step = 0
    with in_words("read the log", path), path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if not line.endswith(b"\n"):
                    return
                text = f"line {number} of {path.name} can't be read, so what it said is lost ({error})"
                yield Note(step=step, text=text, topic="damage")
                continue
            if not isinstance(record, Started):
                step = record.step
            yield record


def _free_name(log: Path, what: str) -> Path:
    number = 1
    while (name := log.with_name(f"{log.stem}.{what}-{number}{log.suffix}")).exists():
        number += 1
    return name


def _keep(path: Path, copy: Path) -> None:
    """Give the file at `path` a second name: a copy that needs no reading, where the file system can."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)
        sync_file(copy)
    sync_folder(path.parent)

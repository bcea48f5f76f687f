"""The record of a run on disk: `log.jsonl`, append-only, one record a line."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from tunewell.problems import Problem, RunError
from tunewell.records import Note, Record, Started, decode, encode
from tunewell.runs.disk import in_words, sync_folder

_FLUSH_BYTES = 1 << 16
_FLUSH_SECONDS = 0.1  # a live view sees a step this long after it at most, if steps go on
_CHUNK = 1 << 20

EMPTY_DIGEST = hashlib.sha256().hexdigest()
"""Digest of a log without a record; ``LogWriter.resume(path, 0, EMPTY_DIGEST)`` begins again, keeping the old."""


class LogWriter:
    """Appends records to a log that this process alone writes; for one thread.

    `append` gathers lines in memory and hands them to the kernel every 64 KiB or 0.1 s. Records that a full
    disk refused stay in memory and are written by the next flush that can.
    """

    trimmed: Path | None = None
    """File to which `resume` moved records later than the commit; None: there were none."""

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
                trimmed = _free_name(path)
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

    def _begin(self, path: Path, length: int, running: hashlib._Hash) -> None:
        self.path = path
        self._length = length
        self._hash = running
        self._lines: list[bytes] = []
        self._line_bytes = 0
        self._unwritten = b""
        self._flushed = time.monotonic()
        with in_words("open the log", path):
            self._file = path.open("ab", buffering=0)
            sync_folder(path.parent)

    def append(self, record: Record) -> None:
        """Add one record, as it is; its `time` is the caller's to set."""
        line = encode(record)
        self._lines.append(line)
        self._line_bytes += len(line)
        if self._line_bytes >= _FLUSH_BYTES or time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand all records to the kernel: they survive this process, not yet a power failure."""
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

    def sync(self) -> None:
        """Force all records down to the disk; they survive a power failure."""
        self.flush()
        with in_words("write the log", self.path):
            os.fsync(self._file.fileno())

    def position(self) -> tuple[int, str]:
        """Return the log's length in bytes and their SHA-256 in hexadecimal; flushes first."""
        self.flush()
        return self._length, self._hash.hexdigest()

    def close(self) -> None:
        """Write what is left and close; harmless when repeated."""
        if not self._file.closed:
            self.flush()
            self._file.close()


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


def _free_name(log: Path) -> Path:
    number = 1
    while (name := log.with_name(f"{log.stem}.trimmed-{number}{log.suffix}")).exists():
        number += 1
    return name

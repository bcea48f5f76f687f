"""The text of a log file, whatever its encoding and compression."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from tunewell.problems import LogError, Problem

_MOST_BYTES = 1 << 30
"""Larger files are no logs of one run; a million updates need a tenth of this."""


def text_of(file: Path) -> str:
    """Return the file's text: UTF-8 or UTF-16 with a mark, gzipped if its name says so; raises `LogError`."""
    try:
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rb") as content:
            read = content.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise LogError(Problem("log", f"can't be read: {what}", str(file))) from error
    if len(read) > _MOST_BYTES:
        raise LogError(Problem("log", "more than 1 GiB: not the log of one run", str(file)))
    encoding = "utf-16" if read.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = read.decode(encoding)
    except UnicodeDecodeError as error:
        line = read.count(b"\n", 0, error.start) + 1
        fix = "save it as UTF-8"
        raise LogError(Problem("log", "not UTF-8", str(file), line=line, fix=fix)) from error
    if not text.strip():
        raise LogError(Problem("log", "the file is empty", str(file)))
    return text

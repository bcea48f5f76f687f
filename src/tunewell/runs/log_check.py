"""Whether a log is whole: each line decodes, and its beginnings are what the checkpoints were made with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tunewell.records import Ended, Rewound, Started, decode

_CHUNK = 1 << 20


@dataclass
class LogCheck:
    """What was found; `problems` and `notes` are clauses for people."""

    missing: bool = False
    records: int = 0
    started: Started | None = None
    """What the run began with: the last record of this kind."""
    ended: Ended | None = None
    """How it ended; None while it goes on after that."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_log(path: Path, prefixes: Iterable[tuple[str, int, str]]) -> LogCheck:
    """Read the log at `path`; each prefix is a checkpoint's name and the log's length and SHA-256 when it was made."""
    found = LogCheck()
    try:
        _decode_lines(path, found)
        _compare(path, list(prefixes), found)
    except FileNotFoundError:
        found.missing = True
    except OSError as error:
        found.problems.append(f"it can't be read: {error.strerror or error}")
    return found


def _decode_lines(path: Path, found: LogCheck) -> None:
    bad, cut = [], False
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                cut = not line.endswith(b"\n") and line.isascii() and b"\0" not in line
                if not cut:
                    bad.append(number)
                continue
            found.records += 1
            if isinstance(record, Started):
                found.started = record
            elif isinstance(record, Ended):
                found.ended = record
            elif isinstance(record, Rewound):
                found.ended = None
    if bad:
        shown = ", ".join(map(str, bad[:10])) + (f" and {len(bad) - 10:,} more" if len(bad) > 10 else "")
        found.problems.append(f"line{'s' * (len(bad) > 1)} {shown} can't be read")
    if cut:
        found.notes.append("the last line is cut short, as by a crash: a resume leaves it out")


def _compare(path: Path, prefixes: list[tuple[str, int, str]], found: LogCheck) -> None:
    """Compare with what the checkpoints remember, the newest last.

    A log that fits the newest but not an older one is not damaged: a resume mended it in between.
    """
    fits = _fits(path, prefixes)
    if not prefixes:
        return
    newest, length, _ = prefixes[-1]
    if fits[newest]:
        mended = [name for name, *_ in prefixes if not fits[name]]
        if mended:
            found.notes.append(f"a resume mended it after checkpoint {mended[-1]}")
        return
    size = path.stat().st_size
    if size < length:
        found.problems.append(f"{length - size:,} bytes are missing that were there at checkpoint {newest}")
        return
    sound = max((start for name, start, _ in prefixes if fits[name]), default=0)
    found.problems.append(
        f"it is not what checkpoint {newest} was made with: a value between byte {sound:,} and {length:,} differs"
    )


def _fits(path: Path, prefixes: list[tuple[str, int, str]]) -> dict[str, bool]:
    fits: dict[str, bool] = {}
    running, place = hashlib.sha256(), 0
    with path.open("rb") as file:
        for name, length, digest in sorted(prefixes, key=lambda prefix: prefix[1]):
            while place < length and (chunk := file.read(min(_CHUNK, length - place))):
                running.update(chunk)
                place += len(chunk)
            fits[name] = place == length and running.hexdigest() == digest
    return fits

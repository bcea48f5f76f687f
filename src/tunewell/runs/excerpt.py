"""What of a log a story needs: all of a short one, of a long one the updates around what happened."""

from __future__ import annotations

import os

import msgspec

from tunewell.records import Acted, Effect, Finding, Record, Rewound, Step, decode
from tunewell.runs.live import LiveLog

_WHOLE_BYTES = 2 << 20
_BEFORE, _AFTER = 96 << 10, 32 << 10  # some hundred updates before and a hundred after
_MOST_BYTES = 4 << 20
_STEP = b'{"type":"step"'


def excerpt(log: LiveLog) -> list[Record]:
    """Return the records of `log` in order, its updates included; of a long log only those near findings and actions."""
    parts = [(0, log.position)] if log.position <= _WHOLE_BYTES else _parts(log)
    found = [(offset, record) for offset, record in zip(log.offsets, log.records, strict=True)]
    with log.path.open("rb", buffering=0) as file:
        for start, end in parts:
            found += _steps(os.pread(file.fileno(), end - start, start), start)
    found.sort(key=lambda one: one[0])
    return [record for _, record in found]


def _parts(log: LiveLog) -> list[tuple[int, int]]:
    """Return the pieces of a long log that matter, the newest kept where they are too many."""
    marks = [
        offset
        for offset, record in zip(log.offsets, log.records, strict=True)
        if isinstance(record, Acted | Effect | Rewound)
        or (isinstance(record, Finding) and record.severity != "info")
    ]
    parts: list[tuple[int, int]] = []
    left = _MOST_BYTES
    for mark in [log.position, *reversed(marks)]:
        start, end = max(0, mark - _BEFORE), min(log.position, mark + _AFTER)
        if parts and end >= parts[-1][0]:
            end, start = parts[-1][1], min(start, parts[-1][0])
            left += end - parts.pop()[0]
        if end - start > left:
            break
        left -= end - start
        parts.append((start, end))
    return parts


def _steps(text: bytes, start: int) -> list[tuple[int, Record]]:
    """Return the updates in `text` with their places; lines cut off at its ends are left out."""
    found: list[tuple[int, Record]] = []
    lines = text.split(b"\n")
    offset = start
    for number, line in enumerate(lines):
        if line.startswith(_STEP) and number < len(lines) - 1:
            try:
                step = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                step = None
            if isinstance(step, Step):
                found.append((offset, step))
        offset += len(line) + 1
    return found

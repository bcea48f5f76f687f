"""What can still be read of a damaged log: weights are more precious than a line of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tunewell.records import decode

_BLOCK = 4096  # what a disk loses at once, at the least
_BEGIN = b'{"type":'
"""Every record begins so, and inside a record's texts the quotes are escaped."""


@dataclass
class Salvaged:
    """Lines that decode, each with its newline; `lost` are the numbers (from 1) of those that don't.

    `missing` counts the bytes that the file is shorter than it should be.
    """

    kept: list[bytes] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    missing: int = 0

    def __str__(self) -> str:
        said = []
        if self.lost:
            numbers = ", ".join(map(str, self.lost[:10]))
            more = f" and {len(self.lost) - 10:,} more" if len(self.lost) > 10 else ""
            line, it = ("line", "it") if len(self.lost) == 1 else ("lines", "they")
            said.append(f"{line} {numbers}{more} can't be read, so what {it} said is lost")
        if self.missing:
            said.append(f"{self.missing:,} bytes at its end are gone")
        return "; ".join(said) or "every line can be read, but a value in it may be wrong"


def salvage_lines(path: Path, length: int) -> Salvaged:
    """Return what the first `length` bytes of the log at `path` still hold; raises `OSError` if it can't be opened.

    A newline destroyed between two records costs neither; sectors that the disk can't read count as damage.
    """
    found, end = Salvaged(), 0
    for number, line in enumerate(_lines(path), start=1):
        begin, end = end, end + len(line)
        if begin >= length:
            break
        before = line[: length - begin]
        records = _records(before)
        if records:
            found.kept += records
        elif end <= length or not _records(line):  # else a whole record that is later than `length`
            found.lost.append(number)
    found.missing = max(0, length - end)
    return found


def _records(line: bytes) -> list[bytes]:
    """Return the records in `line`: one, or two where the newline between them is another byte now; none if damaged."""
    line = line.removesuffix(b"\n")
    if _decodes(line):
        return [line + b"\n"]
    place = line.find(_BEGIN, 1)
    while place > 0:
        both = [line[: place - 1], line[place:]]
        if all(map(_decodes, both)):
            return [part + b"\n" for part in both]
        place = line.find(_BEGIN, place + 1)
    without_end = line[:-1]  # the newline at `length` is what is damaged
    return [without_end + b"\n"] if _decodes(without_end) else []


def _decodes(line: bytes) -> bool:
    try:
        decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, newlines included, with NULs for the sectors that can't be read."""
    rest = b""
    with path.open("rb", buffering=0) as file:
        size = file.seek(0, io.SEEK_END)
        for place in range(0, size, _BLOCK):
            file.seek(place)
            try:
                block = file.read(_BLOCK)
            except OSError:
                block = bytes(min(_BLOCK, size - place))
            *lines, rest = (rest + block).split(b"\n")
            yield from (line + b"\n" for line in lines)
    if rest:
        yield rest

"""Seals: ``SHA256SUMS``, so that ``sha256sum -c`` tells anywhere, without tunewell, whether a folder is as it was left.

Its first line is a comment with the digest of the lines after it: a bit that flips in the list itself is told
from one in a file that it names.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tunewell.runs.disk import in_words, sync_file, sync_folder, write_durably

SUMS = "SHA256SUMS"
FIXED = ("recipe.yaml", "environment.json", "data.json", "rows/digests.json")
"""Files of a run that stay as they are from its beginning on."""

_OWN = b"# SHA-256 of the lines below: "
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}  # as `sha256sum` writes awkward names


def write(folder: Path, leave_out: Collection[str] = (), only: Collection[str] | None = None) -> None:
    """Seal `folder`: all files below it, but for hidden ones and the entries named in `leave_out`, once all are durable.

    With `only` those of these files that are there; without it, what `FIXED` names and was sealed before keeps its
    digest, or a seal would bless what was damaged meanwhile. Raises `RunError` when the disk refuses.
    """
    with in_words("seal the folder", folder):
        names = [path.relative_to(folder).as_posix() for path in _files(folder, {*leave_out, SUMS})]
        if only is not None:
            _write(folder, {name: _durable_digest(folder / name) for name in names if name in only})
            return
        before = (read(folder) if (folder / SUMS).exists() else None) or {}
        known = {name: before[name] for name in FIXED if name in before}
        fresh = {name: _durable_digest(folder / name) for name in names if name not in known}
        _write(folder, dict(sorted((known | fresh).items())))


def narrow(folder: Path, only: Collection[str] = FIXED) -> None:
    """Leave only these files in the seal of `folder`, because the others will change; harmless when there is none.

    Nothing is read again: a file that was damaged since still differs from its seal. A damaged list goes.
    """
    with in_words("narrow the seal", folder):
        if not (folder / SUMS).exists():
            return
        sealed = read(folder)
        if sealed is None:
            (folder / SUMS).unlink()
            sync_folder(folder)
        elif not sealed.keys() <= {*only}:
            _write(folder, {name: digest for name, digest in sealed.items() if name in only})


def remove(folder: Path) -> None:
    """Break the seal of `folder`, durably; harmless when there is none."""
    with in_words("remove the seal", folder):
        if (folder / SUMS).exists():
            (folder / SUMS).unlink()
            sync_folder(folder)


def check(folder: Path) -> dict[str, str]:
    """Return what is wrong with the files of a sealed folder, by file; nothing where all is as it was sealed.

    A damaged list is named alone: its digests prove nothing. Raises `RunError` when there is no list.
    """
    with in_words("read the seal", folder / SUMS):
        sealed = read(folder)
    if sealed is None:
        return {SUMS: "is damaged: what it says of the other files can't be trusted"}
    found = {name: _problem(folder / name, expected) for name, expected in sealed.items()}
    return {name: problem for name, problem in found.items() if problem is not None}


def read(folder: Path) -> dict[str, str] | None:
    """Return the digests in the list of `folder` by file, or None where the list is damaged; may raise `OSError`."""
    first, _, lines = (folder / SUMS).read_bytes().partition(b"\n")
    if first != _OWN + hashlib.sha256(lines).hexdigest().encode():
        return None
    return dict(_parsed(line) for line in lines.splitlines())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; lets other threads run meanwhile."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _durable_digest(path: Path) -> str:
    sync_file(path)  # or a power failure makes of the seal a proof of damage
    return digest(path)


def _write(folder: Path, sealed: Mapping[str, str]) -> None:
    lines = b"".join(_line(name, hexadecimal) for name, hexadecimal in sealed.items())
    own = hashlib.sha256(lines).hexdigest().encode()
    write_durably(folder / SUMS, _OWN + own + b"\n" + lines)


def _problem(path: Path, expected: str) -> str | None:
    try:
        return None if digest(path) == expected else "is not what was sealed: its SHA-256 differs"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read: {error.strerror or error}"


def _files(folder: Path, leave_out: set[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in leave_out:
            continue
        if path.is_dir():
            yield from _files(path, set())
        elif path.is_file():
            yield path


def _line(name: str, hexadecimal: str) -> bytes:
    escaped = re.sub(r"[\\\n\r]", lambda found: _ESCAPES[found[0]], name)
    mark = "\\" if escaped != name else ""
    return f"{mark}{hexadecimal}  ".encode() + os.fsencode(escaped) + b"\n"


def _parsed(line: bytes) -> tuple[str, str]:
    hexadecimal, _, name = os.fsdecode(line).partition("  ")
    if hexadecimal.startswith("\\"):
        meant = {escape: character for character, escape in _ESCAPES.items()}
        name = re.sub(r"\\.", lambda found: meant[found[0]], name)
    return name, hexadecimal.removeprefix("\\")

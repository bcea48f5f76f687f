"""What a look at chats, images or recordings found: how many can be used, which not, and what reading changes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tunewell.data.ledger import Places, places
from tunewell.data.refusal import refuse_bad
from tunewell.data.spelling import printable
from tunewell.data.table import BadRow
from tunewell.problems import DataError, Problem

WAY_OUT = "or look at the rest without the bad ones: --skip-bad"


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """Items of one kind: ``read == kept + sum of dropped``."""

    kind: str
    """``chats``, ``images`` or ``recordings``."""
    read: int
    kept: int
    dropped: dict[str, Places] = {}
    """By reason."""
    changed: dict[str, Places] = {}
    """Items that reading changes, by what is done to them."""
    facts: list[str] = []
    """Sizes, rates and the like, in words."""

    def lines(self) -> list[str]:
        """Return the collection as plain lines for a terminal."""
        lines = [f"{self.read:,} {self.kind} read, {self.kept:,} of them can be used"]
        lines += [f"  left out, {reason}: {found}" for reason, found in self.dropped.items()]
        lines += [f"  {change}: {found}" for change, found in self.changed.items()]
        return [printable(line) for line in [*lines, *self.facts]]


def collection(
    kind: str,
    names: Sequence[str],
    bad: Sequence[BadRow],
    changes: Iterable[tuple[str, str]],
    facts: list[str],
    *,
    skip_bad: bool,
) -> Collection:
    """Return the collection of the items called `names`; `changes` are (what is done, name of the item).

    Raises `DataError` where items are `bad`, unless `skip_bad` leaves them out and some are left.
    """
    if not skip_bad or len(bad) == len(names):
        refuse_bad(bad, way_out="" if len(bad) == len(names) else WAY_OUT)
    by_reason: dict[str, list[str]] = defaultdict(list)
    for row in bad:
        place = f"{row.problem.file}:{row.problem.line}" if row.problem.line else row.problem.file
        by_reason[row.reason].append(place)
    by_change: dict[str, list[str]] = defaultdict(list)
    for change, name in changes:
        by_change[change].append(name)
    return Collection(
        kind=kind,
        read=len(names),
        kept=len(names) - len(bad),
        dropped={reason: places(found) for reason, found in by_reason.items()},
        changed={change: places(found) for change, found in by_change.items()},
        facts=facts,
    )


def read_each(
    files: Sequence[Path], read: Callable[[Path], tuple[Any, list[str]]]
) -> tuple[list[BadRow], list[tuple[str, str]]]:
    """Call `read` on each file; return the bad ones, by the words before the colon, and (change, file name)."""
    bad: list[BadRow] = []
    changes: list[tuple[str, str]] = []
    for path in files:
        try:
            _, found = read(path)
        except DataError as error:
            problem = error.problems[0]
            bad.append(BadRow(problem.message.partition(":")[0], problem))
        else:
            changes += [(change, str(path)) for change in found]
    return bad, changes


def files_in(place: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files below the folder `place` with one of `suffixes`, sorted, or `place` itself if it is a file.

    Hidden files and folders, such as those that macOS leaves, are passed over.
    """
    wanted = set(suffixes)
    if not os.path.isdir(place):
        return [place]
    found = []
    for folder, below, names in os.walk(place):
        below[:] = sorted(name for name in below if not name.startswith("."))
        paths = (Path(folder, name) for name in names if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in wanted]
    return sorted(found)


def refused(path: Path, message: str, fix: str) -> DataError:
    """Return (not raise) the error that the file at `path` can't be used."""
    return DataError(Problem("data", message, str(path), fix=fix))


def unreadable_file(path: Path) -> DataError | None:
    """Return the error of a file that is absent, no file, or empty; None when it holds something."""
    try:
        if path.stat().st_size:
            return None
    except OSError as error:
        return refused(path, f"can't read the file: {error.strerror or error}", "check the path")
    return refused(path, "the file is empty", "copy it again, or delete it")

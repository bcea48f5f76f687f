"""What every file format becomes: columns of values, and the line of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewell.problems import Problem


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used: a short `reason` to count by, and the problem with its place and fix."""

    reason: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file, column by column; a value that a row lacks is None.

    `lines` holds each row's line in the file, from 1 (its row number where the format has no lines). Rows that
    can't be read are in `bad` and in no column.
    """

    file: str
    columns: dict[str, list[Any]]
    lines: list[int]
    bad: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)


def unreadable(file: str, line: int, message: str, fix: str = "", column: str = "") -> BadRow:
    """Return the bad row for a line that the format can't make a row of."""
    return BadRow("unreadable", Problem("data", message, file=file, line=line, field=column, fix=fix))


def table_of_rows(
    file: str, rows: Sequence[Mapping[str, Any]], lines: list[int], bad: list[BadRow], notes: list[str]
) -> Table:
    """Return the table of rows that each hold their own keys; columns stand in order of first appearance."""
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(file, {name: [row.get(name) for row in rows] for name in names}, lines, bad, notes)

"""From tables to rows: texts taken out, cleaned and looked at; what is wrong with a row is said, never hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewell.data.cleaning import clean
from tunewell.data.columns import Columns
from tunewell.data.example import RawRow
from tunewell.data.spelling import kind_of, shortened, unusable_in
from tunewell.data.table import BadRow, Table
from tunewell.problems import Problem

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Collected:
    """Rows with usable texts, the bad ones with their split, and what a reader should know."""

    rows: list[RawRow] = field(default_factory=list)
    bad: list[tuple[str, BadRow]] = field(default_factory=list)
    control: list[str] = field(default_factory=list)
    """Places of texts that hold control characters."""
    notes: list[str] = field(default_factory=list)


def collect(
    tables: Mapping[str, Sequence[Table]], columns: Columns, steps: Sequence[str], ids_named: bool
) -> Collected:
    """Return the rows of all tables, by split, with the cleaning `steps` applied to their texts.

    Row ids count all rows in the order of reading, bad ones included, so that leaving rows out renumbers none.
    `ids_named`: the recipe names the id column, so an id that stands twice makes a bad row and not just a note.
    """
    result = Collected()
    first_row = 0
    for split, its_tables in tables.items():
        doubled = _doubled_ids(split, its_tables, columns, ids_named, result.notes)
        for table in its_tables:
            result.notes.extend(table.notes)
            result.bad.extend((split, bad) for bad in table.bad)
            for number, values in enumerate(_values(table, columns)):
                place = (table.file, table.lines[number])
                bad = doubled.get(place)
                row = bad or _row(values, columns, steps, split=split, place=place, row=first_row + number)
                if isinstance(row, BadRow):
                    result.bad.append((split, row))
                    continue
                result.rows.append(row)
                if _holds_control(row.text) or _holds_control(row.text_pair or ""):
                    result.control.append(row.place)
            first_row += len(table) + len(table.bad)
            numbers = sum(isinstance(value, int | float) for value in table.columns.get(columns.text, ()))
            if numbers:
                result.notes.append(f"{table.file}: {numbers} texts are numbers, taken as they are written")
    return result


def _values(table: Table, columns: Columns) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Return text, second text, label and group of each row; None where there is no such column."""
    names = (columns.text, columns.text_pair, columns.label, columns.group_by)
    absent = [None] * len(table)
    return zip(*(table.columns.get(name, absent) if name else absent for name in names), strict=True)


def _row(
    values: tuple[Any, Any, Any, Any],
    columns: Columns,
    steps: Sequence[str],
    *,
    split: str,
    place: tuple[str, int],
    row: int,
) -> RawRow | BadRow:
    text, second, label, group = values
    text = _usable(text, steps)
    if isinstance(text, _Fault):
        return text.at(place, columns.text)
    if columns.text_pair:
        second = _usable(second, steps)
        if isinstance(second, _Fault):
            return second.at(place, columns.text_pair)
    return RawRow(row, split, *place, text, second, label, group)


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: str
    message: str
    fix: str = "mend it, or delete the row"

    def at(self, place: tuple[str, int], column: str) -> BadRow:
        file, line = place
        return BadRow(self.reason, Problem("data", self.message, file, line, column, self.fix))


def _usable(value: Any, steps: Sequence[str]) -> str | _Fault:
    """Return the cleaned text, or what is wrong with it."""
    if value is None:
        return _Fault("no text", "no text")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return _Fault("text of a wrong type", f"{kind_of(value)} where a text is expected")
    text = str(value)
    if unusable := unusable_in(text):
        return _Fault("unusable text", f"the text holds {unusable}")
    cleaned = clean(text, steps)
    if not cleaned or cleaned.isspace():
        return _Fault("empty text", "the text is empty" + (" after cleaning" if text.strip() else ""))
    return cleaned


def _holds_control(text: str) -> bool:
    return not text.isprintable() and _CONTROL.search(text) is not None


def _doubled_ids(
    split: str, tables: Sequence[Table], columns: Columns, named: bool, notes: list[str]
) -> dict[tuple[str, int], BadRow]:
    """Return the rows whose id stood before in the split, by place; empty, with a note, when the id was guessed."""
    if not columns.id:
        return {}
    first: dict[str, tuple[str, int]] = {}
    doubled = {}
    absent = 0
    for table in tables:
        for line, value in zip(table.lines, table.columns.get(columns.id, ()), strict=False):
            if value is None or value == "":
                absent += 1
                continue
            place = (table.file, line)
            before = first.setdefault(str(value), place)
            if before != place:
                what = f"the id `{shortened(value)}` stands at {before[0]}:{before[1]} too"
                doubled[place] = _Fault("id stands twice", what, "give each row its own id").at(
                    place, columns.id
                )
    if absent and named:
        notes.append(f"id: {absent:,} rows of {split} have none")
    if doubled and not named:
        notes.append(f"id: column `{columns.id}` repeats itself in {len(doubled):,} rows of {split}")
        return {}
    return doubled

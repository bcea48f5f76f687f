"""Rows out of JSON text: an object a line, or an array of objects. Line ends are ``\\n`` here."""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import Any

from tunewell.data.source import Source
from tunewell.data.table import BadRow, Table, table_of_rows, unreadable

_SPACE = re.compile(r"[ \t\n]*")


def objects_by_line(source: Source, text: str, notes: list[str]) -> Table:
    """Return the table of `text`, an object a line; blank lines are passed over."""
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    bad: list[BadRow] = []
    every = text.split("\n")
    for number, line in enumerate(every, 1):
        if not line or line.isspace():
            continue
        try:
            row = decoder.decode(line)
        except JSONDecodeError as error:
            what, fix = f"not JSON: {error.msg} at column {error.colno}", "each line holds one whole object"
            if number == len(every) and (error.pos >= len(line.rstrip()) - 1 or "Unterminated" in error.msg):
                what, fix = (
                    f"the last line is cut off: {error.msg} at column {error.colno}",
                    "complete or delete it",
                )
            bad.append(unreadable(source.name, number, what, fix))
        except (ValueError, RecursionError) as error:
            bad.append(unreadable(source.name, number, _reason(error)))
        else:
            if isinstance(row, dict):
                rows.append(row)
                places.append(number)
            else:
                bad.append(_no_object(source, number, row))
    return table_of_rows(source.name, rows, places, bad, notes)


def objects_in_array(source: Source, text: str, notes: list[str], start: int = 0) -> Table:
    """Return the table of the array whose bracket is the first in `text` from `start`.

    A row's line is the one on which its object begins, or its number where rows share lines. Raises `DataError` where the array breaks off, since
    nothing tells where the next row would begin.
    """
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    bad: list[BadRow] = []
    at = skip_space(text, text.index("[", start) + 1)
    line, counted = 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        number = len(rows) + len(bad) + 1
        try:
            row, at = decoder.raw_decode(text, at)
        except JSONDecodeError as error:
            what = f"row {number} of the array can't be read: {error.msg} at line {error.lineno}"
            raise source.error(what, line=line) from error
        except (ValueError, RecursionError) as error:
            raise source.error(f"row {number} of the array: {_reason(error)}", line=line) from error
        if isinstance(row, dict):
            rows.append(row)
            places.append(line)
        else:
            bad.append(_no_object(source, line, row))
        at = skip_space(text, at)
        if text[at : at + 1] == ",":
            at = skip_space(text, at + 1)
        elif text[at : at + 1] != "]":
            what = "the file ends inside the array" if at >= len(text) else f"no comma after row {number}"
            raise source.error(what, line=line)
    if len(set(places)) < len(places):
        places = list(range(1, len(rows) + 1))
        notes = [*notes, f"{source.name}: places are row numbers, since rows share lines"]
    return table_of_rows(source.name, rows, places, bad, notes)


def skip_space(text: str, at: int) -> int:
    """Return the first position from `at` that holds no JSON white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _no_object(source: Source, line: int, value: Any) -> BadRow:
    return unreadable(source.name, line, f"a {type(value).__name__} where an object {{…}} is expected")


def _reason(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error).split(";", maxsplit=1)[0]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in row if names.count(name) > 1)
        raise ValueError(f"the key `{twice}` stands twice in one object")
    return row


decoder = JSONDecoder(object_pairs_hook=_unique, strict=False)
"""Refuses a key that stands twice; lets raw control characters pass, which are looked at with the text."""

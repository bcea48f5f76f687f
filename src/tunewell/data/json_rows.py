"""Rows out of JSON text: an object a line, or an array of objects. Line ends are ``\\n`` here."""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import Any

from tunewell.data.source import Source
from tunewell.data.spelling import kind_of
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
            what, fix = f"not JSON: {explained(error)}", "each line holds one whole object"
            if number == len(every) and (error.pos >= len(line.rstrip()) - 1 or "Unterminated" in error.msg):
                what, fix = f"the last line is cut off: {explained(error)}", "complete or delete it"
            bad.append(unreadable(source.name, number, what, fix))
        except (ValueError, RecursionError) as error:
            bad.append(unreadable(source.name, number, _reason(error), "mend it, or delete the row"))
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
            what = f"row {number} of the array can't be read: {explained(error)} of line {error.lineno}"
            fix = "mend it: what follows can't be read either"
            raise source.error(what, fix, line=line) from error
        except (ValueError, RecursionError) as error:
            what = f"row {number} of the array: {_reason(error)}"
            raise source.error(what, "mend it, or delete the row", line=line) from error
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
            fix = "copy the file again, or close the array with ]" if at >= len(text) else "put one there"
            raise source.error(what, fix, line=line)
    if len(set(places)) < len(places):
        places = list(range(1, len(rows) + 1))
        notes = [*notes, f"{source.name}: places are row numbers, since rows share lines"]
    return table_of_rows(source.name, rows, places, bad, notes)


def explained(error: JSONDecodeError) -> str:
    """Return where in a line JSON goes wrong, and how, in words."""
    if error.msg.startswith("Unterminated string"):
        return f"the text that begins at column {error.colno} never ends"
    return f"{error.msg[:1].lower()}{error.msg[1:]} at column {error.colno}"


def skip_space(text: str, at: int) -> int:
    """Return the first position from `at` that holds no JSON white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _no_object(source: Source, line: int, value: Any) -> BadRow:
    what = f"{kind_of(value)} where an object {{…}} is expected"
    return unreadable(source.name, line, what, 'write {"text": …, "label": …}')


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return "a number of too many digits" if "integer string" in str(error) else str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in row if names.count(name) > 1)
        raise ValueError(f"the key `{twice}` stands twice in one object")
    return row


decoder = JSONDecoder(object_pairs_hook=_unique, strict=False)
"""Refuses a key that stands twice; lets raw control characters pass, which are looked at with the text."""

"""Rows out of delimited text, such as CSV: a header, then records that may span lines."""

from __future__ import annotations

import io
from collections import Counter
from csv import QUOTE_MINIMAL, QUOTE_NONE, Error, field_size_limit, reader

from tunewell.data.source import Source
from tunewell.data.spelling import shortened
from tunewell.data.table import BadRow, Table, unreadable

_LONGEST_FIELD = 2**31 - 1


def records(source: Source, text: str, separator: str, notes: list[str], quoted: bool = True) -> Table:
    """Return the table of `text`; a row's line is its first. All values are texts; blank lines are passed over.

    Raises `DataError` for a column named twice, and for a quote that never closes, since it hides all that follows.
    """
    field_size_limit(_LONGEST_FIELD)  # one limit for the whole process, 128 KiB by default
    lines_of_text = io.StringIO(text, newline="")
    rows = reader(
        lines_of_text, delimiter=separator, quoting=QUOTE_MINIMAL if quoted else QUOTE_NONE, strict=True
    )
    header: list[str] = []
    fields: list[list[str]] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    while True:
        line = rows.line_num + 1
        try:
            record = next(rows)
        except StopIteration:
            break
        except Error as error:
            if "unexpected end" in str(error):
                what = "a quote opens in the row that begins here and never closes"
                raise source.error(what, 'close it, or double the quotes inside a field: ""', line) from error
            what = f"text after a closing quote (the row that begins here ends on line {rows.line_num})"
            bad.append(unreadable(source.name, line, what, 'double the quotes inside a field: ""'))
            continue
        if not record:
            continue
        if not header:
            header = _header(source, record, line)
        elif len(record) == len(header):
            fields.append(record)
            lines.append(line)
        else:
            found = f"{len(record)} field{'s' * (len(record) != 1)}"
            what = f"{found} where the header has {len(header)}"
            fix = (
                "quote a field that holds the separator" if len(record) > len(header) else "complete the row"
            )
            bad.append(unreadable(source.name, line, what, fix))
    columns = {name: [record[i] for record in fields] for i, name in enumerate(header)}
    return Table(source.name, columns, lines, bad, notes)


def _header(source: Source, record: list[str], line: int) -> list[str]:
    names = [name.strip() or f"column_{number}" for number, name in enumerate(record, 1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise source.error(
            f"the header names `{shortened(twice[0])}` twice", "give each column its own name", line
        )
    return names

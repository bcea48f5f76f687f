"""JSON: an array of objects."""

from __future__ import annotations

import re
from json import JSONDecodeError
from typing import Any

from tunewell.data.json_rows import decoder, explained, objects_by_line, objects_in_array
from tunewell.data.source import Source
from tunewell.data.table import Table


def json(source: Source) -> Table:
    """Read an array of objects, bare or as the only list in an object; JSON Lines are accepted with a note.

    A row's line is the one on which its object begins.
    """
    text = source.text().replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip().startswith("["):
        return objects_in_array(source, text, [])
    try:
        whole = decoder.decode(text)
    except JSONDecodeError as error:
        if error.msg == "Extra data":
            return objects_by_line(source, text, [f"{source.name}: JSON Lines, read as such"])
        raise source.error(f"not JSON: {explained(error)}", "mend it there", line=error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise source.error(f"not JSON that can be read: {error}", "write [{…}, {…}]") from error
    lists = (
        {key: value for key, value in whole.items() if isinstance(value, list)}
        if isinstance(whole, dict)
        else {}
    )
    if len(lists) == 1:
        ((name, rows),) = lists.items()
        start = _start_of(name, rows, text)
        return objects_in_array(source, text, [f"{source.name}: the rows are its list `{name}`"], start)
    if isinstance(whole, dict) and not lists:
        return objects_by_line(source, text, [f"{source.name}: a single row"])
    raise source.error("neither an array of objects nor an object with one list of them", "write [{…}, {…}]")


def _start_of(name: str, rows: list[Any], text: str) -> int:
    """Return where in `text` the list `rows` of key `name` begins."""
    keys = re.finditer(rf'"{re.escape(name)}"\s*:\s*(?=\[)', text)
    return next((key.end() for key in keys if decoder.raw_decode(text, key.end())[0] == rows), 0)

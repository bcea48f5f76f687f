"""JSON Lines: one object a line."""

from __future__ import annotations

from tunewell.data.json_rows import objects_by_line, objects_in_array
from tunewell.data.source import Source
from tunewell.data.table import Table


def jsonl(source: Source) -> Table:
    """Read one JSON object a line; blank lines are passed over, a whole JSON array is accepted with a note."""
    text = source.text().replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip().startswith("["):
        return objects_in_array(source, text, [f"{source.name}: one JSON array, read as such"])
    return objects_by_line(source, text, [])

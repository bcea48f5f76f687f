"""CSV: a header, then rows of fields, quoted where needed."""

from __future__ import annotations

from tunewell.data.delimited import records
from tunewell.data.source import Source
from tunewell.data.table import Table


def csv(source: Source) -> Table:
    """Read comma-separated values; a header that only semicolons or tabs divide is read by those, with a note."""
    text = source.text()
    header = text.lstrip("\r\n").splitlines()[0]
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if "," not in header and separator in header:
            return records(source, text, separator, [f"{source.name}: the fields are divided by {name}"])
    return records(source, text, ",", [])

"""TSV: a header, then rows of fields divided by tabs."""

from __future__ import annotations

from tunewell.data.delimited import records
from tunewell.data.source import Source
from tunewell.data.table import Table
from tunewell.problems import DataError


def tsv(source: Source) -> Table:
    """Read tab-separated values, quoted or not.

    Two habits exist: spreadsheets quote fields as in CSV, corpora take a quote for a plain character. Where
    the first reading meets a problem and the second none, the second is right, and a note says so.
    """
    text = source.text()
    quoted: Table | DataError
    try:
        quoted = records(source, text, "\t", [])
    except DataError as error:
        quoted = error
    if isinstance(quoted, Table) and not quoted.bad:
        return quoted
    plain = records(source, text, "\t", [f"{source.name}: quotes are plain characters here"], quoted=False)
    if not plain.bad:
        return plain
    if isinstance(quoted, DataError):
        raise quoted
    return quoted

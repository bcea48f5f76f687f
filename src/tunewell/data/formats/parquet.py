"""Parquet: typed columns."""

from __future__ import annotations

from collections import Counter

from tunewell.data.source import Source
from tunewell.data.table import Table


def parquet(source: Source) -> Table:
    """Read all columns of a Parquet file; a row's line is its number, from 1."""
    import pyarrow
    import pyarrow.parquet

    try:
        arrow = pyarrow.parquet.read_table(pyarrow.BufferReader(source.read()))
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise source.error(f"not a whole Parquet file: {reason}", "write or copy it again") from error
    twice = [name for name, count in Counter(arrow.column_names).items() if count > 1]
    if twice:
        raise source.error(f"two columns are called `{twice[0]}`", "give each column its own name")
    columns = {name: arrow.column(name).to_pylist() for name in arrow.column_names}
    return Table(source.name, columns, list(range(1, arrow.num_rows + 1)))

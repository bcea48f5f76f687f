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
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(source.read()))
        names = file.schema_arrow.names
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        columns = {} if twice else file.read().to_pydict()
    except (pyarrow.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise source.error(f"not a whole Parquet file: {reason[:200]}", "write or copy it again") from error
    if twice:
        raise source.error(f"two columns are called `{twice}`", "give each column its own name")
    return Table(source.name, columns, list(range(1, file.metadata.num_rows + 1)))

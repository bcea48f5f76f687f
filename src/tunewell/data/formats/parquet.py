"""Parquet: typed columns."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tunewell.data.source import Source
from tunewell.data.table import Table

_BATCH = 1 << 16
_CELL_BYTES = 8
"""Least that a cell takes once it is read, however well it was packed."""


def parquet(source: Source) -> Table:
    """Read all columns of a Parquet file; a row's line is its number, from 1.

    Raises `DataError` for a damaged file, and for one that grows beyond what `Source` allows when it is unpacked.
    """
    import pyarrow
    import pyarrow.parquet

    content = source.read()
    try:
        schema = pyarrow.parquet.read_schema(pyarrow.BufferReader(content))
        twice = next((name for name, count in Counter(schema.names).items() if count > 1), None)
        columns = {} if twice else _columns(source, content, schema)
    except (pyarrow.ArrowException, OSError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise source.error(f"not a whole Parquet file: {reason[:200]}", "write or copy it again") from error
    if twice:
        raise source.error(f"two columns are called `{twice}`", "give each column its own name")
    rows = len(next(iter(columns.values()), []))
    return Table(source.name, columns, list(range(1, rows + 1)))


def _columns(source: Source, content: bytes, schema: Any) -> dict[str, list[Any]]:
    import pyarrow
    import pyarrow.parquet

    # texts stay numbered entries of a dictionary until their lengths are known: a small file can repeat a long one
    texts = [field.name for field in schema if _is_text(field.type)]
    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content), read_dictionary=texts)
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    size = 0
    for batch in file.iter_batches(_BATCH):
        for name, column in zip(schema.names, batch.columns, strict=True):
            size += _unpacked(column)
            source.check_size(size, len(content))
            values = column.dictionary_decode() if _is_numbered_text(column) else column
            columns[name] += values.to_pylist()
    return columns


def _unpacked(column: Any) -> int:
    """Return about how many bytes the values of an Arrow array take, each counted as often as it stands."""
    from pyarrow import compute

    if not _is_numbered_text(column):
        return max(int(column.nbytes), _CELL_BYTES * len(column))
    lengths = compute.binary_length(column.dictionary).take(column.indices)
    return _CELL_BYTES * len(column) + int(compute.sum(lengths).as_py() or 0)


def _is_numbered_text(column: Any) -> bool:
    from pyarrow import types

    return bool(types.is_dictionary(column.type)) and _is_text(column.type.value_type)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind))

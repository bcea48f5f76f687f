"""A data set of the Hugging Face hub, by its name."""

from __future__ import annotations

from tunewell.data.source import Source
from tunewell.data.table import Table


def hub(source: Source) -> Table:
    """Load ``NAME[:CONFIG][@SPLIT]`` (split: train) through `datasets`; class numbers become class names.

    Raises `DataError` when the library is absent or the data set can't be had.
    """
    try:
        import datasets
    except ImportError as error:
        fix = "in tunewell's clone: pip install '.[hub]'"
        raise source.error("names on the hub need the package `datasets`", fix) from error
    address, _, split = source.location.partition("@")
    name, _, config = address.partition(":")
    try:
        found = datasets.load_dataset(name, config or None, split=split or "train")
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise source.error(f"can't load it: {reason}", "write hub:NAME[:CONFIG][@SPLIT]") from error
    columns = {name: found[name][:] for name in found.column_names}
    for name, feature in found.features.items():
        if isinstance(feature, datasets.ClassLabel):
            columns[name] = [_class_name(feature.names, value) for value in columns[name]]
    return Table(source.name, columns, list(range(1, found.num_rows + 1)))


def _class_name(names: list[str], value: int | None) -> str | None:
    """Return the name; the hub writes -1 where a test row has no label."""
    return names[value] if value is not None and value >= 0 else None

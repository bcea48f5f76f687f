"""From a name in a recipe to tables: finds the files, picks each one's format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from tunewell import plugins
from tunewell.data.source import Source, find, stem_suffix
from tunewell.data.table import Table
from tunewell.problems import DataError, Problem

_FOLDER = "data.formats"
_SUFFIXES = {"ndjson": "jsonl", "jsonlines": "jsonl", "pq": "parquet", "tab": "tsv"}


def read(names: Sequence[str], base: Path, *, skip_bad: bool = False) -> list[Table]:
    """Return a table for each file that `names` stand for, in order, each file once.

    A name is a path or a glob relative to `base`, ``hub:NAME``, or ``FORMAT:path`` where the suffix does not
    tell the format. `skip_bad`: bytes that are not UTF-8 spoil their rows, not the whole file. Raises one `DataError` with every file's problems.
    """
    problems: list[Problem] = []
    tables: dict[str, Table] = {}
    for name in names:
        try:
            for format_name, source in _sources(name, base):
                if source.location not in tables:
                    tables[source.location] = _read_one(format_name, replace(source, skip_bad=skip_bad))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return list(tables.values())


def _sources(name: str, base: Path) -> list[tuple[str, Source]]:
    known = plugins.names(_FOLDER)
    prefix, colon, rest = name.partition(":")
    if colon and prefix == "hub":
        return [("hub", Source(name, rest))]
    if colon and prefix in known:
        return [(prefix, source) for source in find(rest, base)]
    return [(_format_of(source, known), source) for source in find(name, base)]


def format_name(name: str) -> str | None:
    """Return the format that the suffix of the file `name` tells, or None."""
    suffix = stem_suffix(name)
    found = _SUFFIXES.get(suffix, suffix)
    return found if found in plugins.names(_FOLDER) and found != "hub" else None


def _format_of(source: Source, known: list[str]) -> str:
    if found := format_name(source.name):
        return found
    suffix = stem_suffix(source.name)
    kinds = ", ".join(f".{kind}" for kind in known if kind != "hub")
    raise source.error(
        f"the suffix `.{suffix}` names no format"
        if suffix
        else "the file has no suffix that names its format",
        f"known: {kinds} (each also .gz or .xz); or say which, such as csv:{source.name}",
    )


def _read_one(format_name: str, source: Source) -> Table:
    read_format = cast(Callable[[Source], Table], plugins.load(_FOLDER, format_name))
    table = read_format(source)
    if not table.bad and not (len(table) and table.columns):
        raise source.error("the file holds no rows", "give a file with a row below the names of its columns")
    return table

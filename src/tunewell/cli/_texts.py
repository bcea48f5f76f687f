"""Texts to predict on: from the command line, a file of any data format, plain lines, or stdin."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tunewell import plugins
from tunewell.problems import DataError, Problem, nearest

Texts = list[str] | list[tuple[str, str]]


def from_lines(lines: list[str]) -> list[str]:
    """Return the lines that hold a text."""
    return [line.strip() for line in lines if line.strip()]


def from_stdin() -> list[str]:
    """Return the lines of stdin that hold a text; raises `DataError` when they are not UTF-8."""
    content = sys.stdin.buffer.read()
    return from_lines(_decoded(content, "stdin").splitlines())


def from_file(file: Path, run: Path, text: str | None, text_pair: str | None) -> Texts:
    """Return the texts, or pairs of texts, in `file`: a known data format, or plain lines otherwise.

    Columns that are not named are those that the run in the folder `run` was trained on, if it is a run. Raises
    `DataError` for a file that can't be read, a column that is missing and rows without a text.
    """
    from tunewell.data import read
    from tunewell.data.source import stem_suffix

    suffix = stem_suffix(file.name)
    if suffix in {"txt", "text", ""} and suffix not in plugins.names("data.formats"):
        from tunewell.data.source import find

        return from_lines([line for source in find(str(file), Path()) for line in source.text().splitlines()])
    known = _columns_of(run)
    text_pair = text_pair or (known.get("text_pair") if text is None else None)
    text = text or known.get("text")
    texts: list[str] = []
    pairs: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for table in read.read([str(file)], Path()):
        problems += [bad.problem for bad in table.bad]
        first = _column(table.columns, text, table.file, "--text")
        second = _column(table.columns, text_pair, table.file, "--text-pair") if text_pair else None
        for row, line in enumerate(table.lines):
            found = [table.columns[name][row] for name in (first, second) if name is not None]
            if any(value is None or not str(value).strip() for value in found):
                problems.append(
                    Problem("data", "no text", table.file, line, first, "give it one, or delete the row")
                )
            elif second is None:
                texts.append(str(found[0]))
            else:
                pairs.append((str(found[0]), str(found[1])))
    if problems:
        raise DataError(problems)
    return pairs or texts


def _columns_of(run: Path) -> dict[str, str]:
    """Return the columns in the ledger that a run keeps, by use."""
    ledger = run / "data.json"
    if not os.path.isfile(ledger):
        return {}
    columns: dict[str, str] = json.loads(ledger.read_text(encoding="utf-8")).get("columns", {})
    return columns


def _column(columns: dict[str, list[object]], name: str | None, file: str, option: str) -> str:
    if name is None and len(columns) == 1:
        return next(iter(columns))
    name = name or "text"
    if name not in columns:
        near = nearest(name, list(columns))
        has = ", ".join(f"`{column}`" for column in list(columns)[:20])
        fix = f"name the column: {option} {near or 'COLUMN'}"
        raise DataError(Problem("data", f"no column `{name}`; it has {has}", file, field=name, fix=fix))
    return name


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}"
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(Problem("data", message, name, line, fix="convert it to UTF-8")) from error

"""CSV and TSV: Lightning's and Keras' CSVLogger, W&B's and TensorBoard's downloads, a script's own."""

from __future__ import annotations

import csv as standard
import io
from pathlib import Path

from tunewell.integrations.logs._log import ForeignLog, Row, Value
from tunewell.integrations.logs._text import text_of
from tunewell.problems import LogError, Problem


def csv(file: Path) -> ForeignLog:
    """Return the log in a table whose first line names the columns; raises `LogError` with the line that is bad."""
    text = text_of(file)
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max("\t;,", key=head.count)
    lines = standard.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    notes: list[str] = []
    names: list[str] = []
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _header(cells, file, lines.line_num)
            elif cells == names or [cell.strip() for cell in cells] == names:
                continue  # a run that went on has written its header again
            elif len(cells) < len(names) and not text.endswith("\n"):
                notes.append(f"Line {lines.line_num:,} was cut short and is left out.")
            else:
                rows.append(Row(lines.line_num, _row(names, cells, file, lines.line_num)))
    except standard.Error as error:
        raise LogError(Problem("log", f"not a table: {error}", str(file), line=lines.line_num)) from error
    return ForeignLog(file, "CSV", rows, averaged=_is_keras(names), notes=notes)


def _header(cells: list[str], file: Path, line: int) -> list[str]:
    names = [cell.strip() for cell in cells]
    if all(_is_number(name) for name in names):
        fix = "the first line must name the columns, such as step,loss"
        raise LogError(Problem("log", "no line with the names of columns", str(file), line=line, fix=fix))
    return names


def _row(names: list[str], cells: list[str], file: Path, line: int) -> dict[str, Value]:
    if len(cells) != len(names):
        what = f"{len(cells)} cells where the first line names {len(names)} columns"
        raise LogError(Problem("log", what, str(file), line=line))
    return {name: cell or None for name, cell in zip(names, cells, strict=True) if name}


def _is_keras(names: list[str]) -> bool:
    """Keras' CSVLogger: a row an epoch, its loss the mean of the epoch."""
    return "epoch" in names and "loss" in names and "step" not in names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

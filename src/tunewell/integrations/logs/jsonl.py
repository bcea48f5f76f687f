"""JSON lines: an export of W&B's history, or a script's own, one object a line."""

from __future__ import annotations

import json
from pathlib import Path

from tunewell.integrations.logs._json import flattened
from tunewell.integrations.logs._log import ForeignLog, Row
from tunewell.integrations.logs._text import text_of
from tunewell.problems import LogError, Problem


def jsonl(file: Path) -> ForeignLog:
    """Return the log in a file of JSON lines; raises `LogError` with the line that is none.

    A last line without its newline was cut short by whatever ended the run, and is left out.
    """
    lines = text_of(file).split("\n")
    rows: list[Row] = []
    notes: list[str] = []
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            if place == len(lines) and rows:
                notes.append(f"Line {place:,} was cut short and is left out.")
                break
            what = f"not valid JSON: {getattr(error, 'msg', 'nested without end')}"
            fix = 'each line must be one object, such as {"step": 10, "loss": 0.5}'
            raise LogError(Problem("log", what, str(file), line=place, fix=fix)) from error
        if not isinstance(entry, dict):
            what = f"an object is wanted in each line, not {line.strip()[:40]}"
            raise LogError(Problem("log", what, str(file), line=place))
        rows.append(Row(place, flattened(entry)))
    return ForeignLog(file, "JSON lines", rows, notes=notes)

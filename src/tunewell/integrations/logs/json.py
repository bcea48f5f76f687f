"""JSON of a whole run: a list of entries, or one list a column as Keras' `History.history` is."""

from __future__ import annotations

from pathlib import Path

from tunewell.integrations.logs._json import flattened, load
from tunewell.integrations.logs._log import ForeignLog, Row
from tunewell.integrations.logs.trainer_state import trainer_state
from tunewell.problems import LogError, Problem


def json(file: Path) -> ForeignLog:
    """Return the log in a JSON file; raises `LogError` where it holds none."""
    content = load(file)
    if isinstance(content, dict) and "log_history" in content:
        return trainer_state(file)
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        rows = [Row(place, flattened(entry)) for place, entry in enumerate(content, start=1)]
        return ForeignLog(file, "JSON", rows)
    if isinstance(content, dict):
        columns = {name: values for name, values in content.items() if isinstance(values, list)}
        if columns and len({len(values) for values in columns.values()}) == 1:
            entries = [
                dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
            ]
            rows = [Row(place, flattened(entry)) for place, entry in enumerate(entries, start=1)]
            return ForeignLog(file, "JSON", rows, averaged=True)
    fix = "a trainer_state.json, a list of entries or one list a column can be read"
    raise LogError(Problem("log", "no log of a training in it", str(file), fix=fix))

"""JSON as Python tools write it: with NaN and Infinity, which the standard does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunewell.integrations.logs._log import Value
from tunewell.integrations.logs._text import text_of
from tunewell.problems import LogError, Problem


def load(file: Path) -> Any:
    """Return the JSON of a whole file; raises `LogError` with the line where it ends to be JSON."""
    try:
        return json.loads(text_of(file))
    except json.JSONDecodeError as error:
        what = f"not valid JSON: {error.msg}"
        fix = "the file may have been cut short: take that of an earlier checkpoint"
        raise LogError(Problem("log", what, str(file), line=error.lineno, fix=fix)) from error
    except RecursionError as error:
        raise LogError(Problem("log", "not a log: values nested without end", str(file))) from error


def flattened(entry: dict[str, Any], prefix: str = "") -> dict[str, Value]:
    """Return the numbers, texts and nulls of `entry`, those of inner objects as ``outer/inner``; lists are left out."""
    flat: dict[str, Value] = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{name}/")
        elif isinstance(value, bool):
            continue
        elif isinstance(value, int | float | str) or value is None:
            flat[f"{prefix}{name}"] = value
    return flat

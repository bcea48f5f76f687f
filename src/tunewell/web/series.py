"""Curves of a run, thinned out on the server so that no spike is lost."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import chain, islice
from operator import truediv
from typing import Any

from tunewell.records import Eval, Record
from tunewell.runs.columns import Columns
from tunewell.runs.downsample import edges, ends, extremes, finite, is_raw
from tunewell.runs.live import LiveLog
from tunewell.runs.timeline import timeline
from tunewell.web.watched import WatchedRun

AXES = ("step", "tokens", "epoch", "time")
MOST_POINTS = 20_000
MOST_KEYS = 40
_UNDONE_POINTS = 200
_MOST_BROKEN = 200
_STEP_KEYS: dict[str, tuple[str, str, str, str]] = {
    "loss": ("training loss", "", "linear", "loss"),
    "given": ("loss that gradients are of", "", "linear", "loss"),
    "gradient_norm": ("gradient norm", "", "log", "gradient"),
    "max_grad_norm": ("clipping bound", "", "log", "gradient"),
    "learning_rate": ("learning rate", "", "linear", "rate"),
    "seconds": ("time of an update", "s", "linear", "speed"),
    "data_seconds": ("time waiting for data", "s", "linear", "speed"),
    "rows_per_second": ("rows a second", "rows/s", "linear", "speed"),
    "tokens_per_second": ("tokens a second", "tokens/s", "linear", "speed"),
    "rows": ("rows of an update", "rows", "linear", "speed"),
    "tokens": ("tokens of an update", "tokens", "linear", "speed"),
    "skipped": ("updates refused", "", "linear", "gradient"),
}
_MEMORY = "memory_bytes"
_WORDS = {"macro_f1": "macro F1", "micro_f1": "micro F1", "f1": "F1", "mcc": "Matthews correlation"}


def series_of(log: LiveLog, line: Sequence[Record]) -> list[dict[str, str]]:
    """Return the curves that a run has."""
    columns = log.columns
    present = [
        key for key in _STEP_KEYS
        if len(columns) and (key not in columns.of or key not in {"given", "max_grad_norm", "skipped"} or _says(columns[key]))
    ]  # fmt: skip
    found = [
        {"key": key, "label": label, "unit": unit, "axis": axis, "group": group}
        for key in present
        for label, unit, axis, group in [_STEP_KEYS[key]]
    ]
    if any(look.memory_bytes is not None for _, _, look in log.memory):
        found.append(
            {"key": _MEMORY, "label": "memory", "unit": "bytes", "axis": "linear", "group": "memory"}
        )
    evals = [one for one in line if isinstance(one, Eval)]
    for split in dict.fromkeys(one.split for one in evals):
        names = dict.fromkeys(chain(["loss"], *(one.metrics for one in evals if one.split == split)))
        for name in names:
            words = _WORDS.get(name, name.replace("_", " "))
            group = "loss" if name == "loss" else "metric"
            key = f"eval.{split}.{name}"
            found.append(
                {"key": key, "label": f"{split} {words}", "unit": "", "axis": "linear", "group": group}
            )
    return found


def _says(column: array[Any]) -> bool:
    """Whether a column that most runs lack says anything: looked at its ends and a few places between."""
    return any(value != 0 and not math.isnan(value) for value in column[:: max(1, len(column) // 1_000)])


def values_of(columns: Columns, key: str) -> array[Any]:
    """Return the values of one key; raises `KeyError` for one that there is not."""
    if key == "rows_per_second":
        return _rate(columns["rows"], columns["seconds"])
    if key == "tokens_per_second":
        return _rate(columns["tokens"], columns["seconds"])
    return columns[key]


def _rate(amounts: array[int], seconds: array[float]) -> array[float]:
    try:
        return array("d", map(truediv, amounts, seconds))
    except ZeroDivisionError:
        return array(
            "d", [amount / one if one else float("nan") for amount, one in zip(amounts, seconds, strict=True)]
        )


def axis_of(log: LiveLog, columns: Columns, x: str) -> array[Any]:
    """Return the places on the axis `x`: steps, tokens so far, epochs, or seconds since the run began."""
    if x == "tokens":
        return columns.total_tokens
    if x == "time":
        begun = began(log)
        return array("d", [one - begun for one in columns["time"]])
    return columns["epoch" if x == "epoch" else "step"]


def began(log: LiveLog) -> float:
    """Return when the run began, in seconds since the epoch."""
    started = log.started
    times = log.columns["time"]
    return started.time if started is not None and started.time else (times[0] if times else 0.0)


def series(
    run: WatchedRun,
    keys: Sequence[str],
    x: str,
    first: float | None,
    last: float | None,
    points: int,
    half_life: float,
) -> dict[str, Any]:
    """Return the curves `keys` between `first` and `last` of the axis `x`, of about `points` points each.

    `half_life` above 0: also the smoothed curve of each, at the same places, made of every update.
    """
    log = run.log
    columns = log.columns
    axis = axis_of(log, columns, x)
    start = 0 if first is None else max(0, bisect_left(axis, first) - 1)
    stop = len(axis) if last is None else min(len(axis), bisect_right(axis, last) + 1)
    bounds = edges(start, max(start, stop), points)
    y: dict[str, list[float | None]] = {}
    broken: dict[str, list[float]] = {}
    measured: dict[str, list[list[float | None]]] = {}
    for key in keys:
        if key.startswith("eval."):
            measured[key] = _measured(log, key, x, first, last)
        elif key == _MEMORY:
            measured[key] = _memory(log, x)
        elif key in {"step", "cursor"}:
            y[key] = list(ends(columns[key], bounds))
        else:
            values = values_of(columns, key)
            y[key] = extremes(values, bounds)
            if not math.isfinite(sum(values[start:stop])):
                broken[key] = _broken(values, columns["step"], start, stop)
            if half_life > 0:
                y[f"{key}~"] = [finite(one) for one in ends(run.smoothed(key, half_life, values), bounds)]
    places = ends(axis, bounds)
    return {
        "x": places,
        "y": y,
        "points": measured,
        "raw": is_raw(bounds),
        "total": len(axis),
        "from": places[0] if places else None,
        "to": places[-1] if places else None,
        "broken": broken,
        "rewound": [piece for key in keys[:4] for piece in _undone(log, key, x)],
    }


def _broken(values: array[Any], steps: array[int], start: int, stop: int) -> list[float]:
    """Return the first steps at which a value is not a finite number."""
    found = (steps[at] for at in range(start, stop) if not math.isfinite(values[at]))
    return list(islice(found, _MOST_BROKEN))


def _measured(
    log: LiveLog, key: str, x: str, first: float | None, last: float | None
) -> list[list[float | None]]:
    _, split, name = key.split(".", 2)
    found: list[list[float | None]] = []
    for one in timeline(log.records):
        if isinstance(one, Eval) and one.split == split:
            value = one.loss if name == "loss" else one.metrics.get(name)
            place = place_of(log, one, x)
            if value is not None and (first is None or place >= first) and (last is None or place <= last):
                found.append([place, finite(value), one.step])
    return found


def place_of(log: LiveLog, one: Eval, x: str) -> float:
    """Return where an evaluation stands on the axis `x`."""
    if x == "epoch":
        return one.epoch
    if x == "time":
        return max(0.0, one.time - began(log)) if one.time else 0.0
    if x == "tokens":
        at = bisect_right(log.columns["step"], one.step)
        return log.columns.total_tokens[at - 1] if at else 0
    return one.step


def _memory(log: LiveLog, x: str) -> list[list[float | None]]:
    found: list[list[float | None]] = []
    for step, time, look in log.memory:
        if look.memory_bytes is not None:
            at = min(max(0, bisect_left(log.columns["step"], step)), len(log.columns) - 1)
            place = (
                time - began(log) if x == "time" else (axis_of(log, log.columns, x)[at] if at >= 0 else step)
            )
            found.append([place, look.memory_bytes, step])
    return found


def _undone(log: LiveLog, key: str, x: str) -> list[dict[str, Any]]:
    """Return the pieces of the curve `key` that were taken back."""
    if key.startswith("eval.") or key in {_MEMORY, "step", "cursor"}:
        return []
    found = []
    for piece in log.undone[-50:]:
        bounds = edges(0, len(piece.columns), _UNDONE_POINTS)
        axis = axis_of(log, piece.columns, x)
        found.append(
            {
                "key": key,
                "from": int(piece.columns["step"][-1]),
                "to": piece.to_step,
                "x": ends(axis, bounds),
                "y": extremes(values_of(piece.columns, key), bounds),
            }
        )
    return found


def is_key(key: str) -> bool:
    """Whether `key` may name a curve."""
    if key.startswith("eval."):
        return key.count(".") >= 2 and len(key) < 200
    return key in _STEP_KEYS or key in {_MEMORY, "step", "cursor"}

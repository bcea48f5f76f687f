"""Rows of a log → one moment for each step, with what was measured there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunewell.integrations.logs._log import ForeignLog, Row
from tunewell.integrations.logs._names import Columns
from tunewell.integrations.logs._numbers import number
from tunewell.problems import LogError, Problem

_DENSE = 5
"""Rows in a row that had a number, before an empty place there is a number that could not be written."""
_MOST_PROBLEMS = 20


@dataclass
class Moment:
    """All that a log says of one step."""

    step: int
    values: dict[str, float] = field(default_factory=dict)
    """By role."""
    scores: dict[str, float] = field(default_factory=dict)
    """On validation rows, by name."""
    rows: int = 0
    """Validation rows; 0: not known."""


@dataclass(frozen=True)
class Moments:
    """What a log says, step by step."""

    moments: list[Moment]
    notes: list[str]
    unit: str
    """What a step is: ``update``, ``epoch`` or ``row``."""


def moments_of(log: ForeignLog, columns: Columns) -> Moments:
    """Return the moments of `log` in its own order; a step smaller than the one before begins another session.

    Raises `LogError` with the line of a cell that holds no number.
    """
    unit = "update" if "step" in columns.roles else "epoch" if _epochs_alone(log.rows, columns) else "row"
    moments: list[Moment] = []
    problems: list[Problem] = []
    for row in log.rows:
        values, scores = _numbers(log, row, columns, problems)
        step = _step(row, values, unit, moments)
        if step is None:
            continue
        if not moments or moments[-1].step != step:
            moments.append(Moment(step))
        here = moments[-1]
        here.values |= values
        here.scores |= scores
        rows = row.values.get("eval_rows")
        here.rows = int(rows) if isinstance(rows, float) and math.isfinite(rows) else here.rows
    if problems:
        raise LogError(problems[:_MOST_PROBLEMS])
    notes = [_unit_note(unit)] if unit != "update" else []
    if any(moment.step < 1 for moment in moments):
        least = 1 - min(moment.step for moment in moments)
        for moment in moments:
            moment.step += least
        notes.append(f"The log counts steps from {1 - least}; here they count from 1.")
    notes += _read_blanks_as_nan(moments)
    return Moments(moments, notes, unit)


def _unit_note(unit: str) -> str:
    if unit == "epoch":
        return "The log has an entry an epoch: a step below is an epoch."
    return "The log does not count steps: a step below is an entry of it."


def _epochs_alone(rows: Sequence[Row], columns: Columns) -> bool:
    """Whether an entry is an epoch: epochs are whole numbers, each of them once."""
    if "epoch" not in columns.roles:
        return False
    epochs = [row.values.get(columns.roles["epoch"]) for row in rows]
    try:
        numbers = [found for epoch in epochs if (found := number(epoch)) is not None]
    except ValueError:
        return False
    return all(one.is_integer() for one in numbers) and len(set(numbers)) == len(numbers)


def _numbers(
    log: ForeignLog, row: Row, columns: Columns, problems: list[Problem]
) -> tuple[dict[str, float], dict[str, float]]:
    found: list[dict[str, float]] = []
    for wanted in (columns.roles, columns.scores):
        numbers: dict[str, float] = {}
        for name, column in wanted.items():
            try:
                value = number(row.values.get(column))
            except ValueError:
                if name == "time":  # dates are not needed
                    continue
                what = f"`{str(row.values[column])[:40]}` is no number"
                fix = "leave the cell empty where nothing was measured; NaN and inf are understood"
                problems.append(Problem("log", what, str(log.file), line=row.place, field=column, fix=fix))
                continue
            if value is not None:
                numbers[name] = value
        found.append(numbers)
    return found[0], found[1]


def _step(row: Row, values: dict[str, float], unit: str, moments: list[Moment]) -> int | None:
    if unit == "row":
        return (moments[-1].step if moments else 0) + 1
    value = values.pop("step", None) if unit == "update" else values.get("epoch")
    if value is None or not math.isfinite(value):
        return moments[-1].step if moments else None
    return int(value)


def _read_blanks_as_nan(moments: Sequence[Moment]) -> list[str]:
    """Put NaN where a loss was written as nothing, and return what was done in a sentence.

    JSON has no NaN, and tables often leave it blank. A blank counts as one only if the column was dense until then:
    each of the entries with the same other columns had a number, and there were some.
    """
    by_others: dict[frozenset[str], list[Moment]] = {}
    for moment in moments:
        if "validation_loss" not in moment.values and not moment.scores:
            others = frozenset(moment.values) - {"loss", "gradient_norm"}
            by_others.setdefault(others, []).append(moment)
    filled = 0
    for alike in by_others.values():
        first = next((index for index, moment in enumerate(alike) if "loss" not in moment.values), None)
        if first is None or first < _DENSE:
            continue
        for moment in alike[first:]:
            if "loss" not in moment.values:
                moment.values["loss"] = math.nan
                filled += 1
    if not filled:
        return []
    places = "place" if filled == 1 else "places"
    return [f"The loss is blank in {filled:,} {places} where one was due: read as not a number (NaN)."]

"""From label values as files spell them to targets: the kind of problem, the classes, the scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tunewell.data.classes import Classes
from tunewell.data.example import RawRow, Target
from tunewell.data.spelling import (
    LARGEST,
    is_huge,
    is_integer,
    is_number,
    list_in,
    shortened,
    spell,
    unlabelled,
)
from tunewell.data.split import TRAIN
from tunewell.data.table import BadRow
from tunewell.problems import DataError, Problem

_SEPARATORS = "|;,"


@dataclass(frozen=True, slots=True)
class Labels:
    """What became of the labels: a target or a bad row for each row, in order.

    `names` are the classes in order (empty for regression); `notes` tell guesses and unified spellings.
    """

    problem: str
    names: list[str]
    targets: Sequence[Target | BadRow]
    notes: list[str]


def read_labels(
    rows: Sequence[RawRow],
    column: str,
    problem: str | None = None,
    names: Sequence[str] | None = None,
    *,
    for_training: bool = True,
) -> Labels:
    """Understand the labels of `rows`; the classes are those of the training rows when `names` gives none.

    Raises `DataError` when the labels can't serve: one class only, scores where classes are asked for, a class
    of its own for each row. Rows that are not `for_training` may have one class, or one score, alone.
    """
    training = [row for row in rows if row.split == TRAIN]
    notes: list[str] = []
    if problem is None:
        problem, why = guess_problem([row.label for row in training], names)
        notes.append(f"problem: {problem} ({why})")
    if problem == "regression":
        scores = [_score(row, column) for row in rows]
        if for_training:
            _refuse_constant(rows, scores, column)
        return Labels(problem, [], scores, notes)
    if problem == "single_label":
        _refuse_scores(training, column)
        _refuse_ids(training, column)
        classes = Classes((row.label for row in training), names, column)
        indexes = [classes.class_of(row.label, row) for row in rows]
        if for_training or names is None:
            _refuse_poor_classes(rows, indexes, classes, column)
        return Labels(problem, classes.names, indexes, notes + classes.notes)
    separator = _separator(row.label for row in training)
    if separator:
        notes.append(f"labels: several in one value, divided by `{separator}`")
    parts = [_parts(row.label, separator) for row in rows]
    taught = (
        value for row, values in zip(rows, parts, strict=True) if row.split == TRAIN for value in values
    )
    classes = Classes(taught, names, column)
    several = [_indexes(row, values, classes) for row, values in zip(rows, parts, strict=True)]
    return Labels(problem, classes.names, several, notes + classes.notes)


def guess_problem(values: Sequence[Any], names: Sequence[str] | None = None) -> tuple[str, str]:
    """Return the kind of problem (as in `Recipe.problem`) that label values tell, and why."""
    if any(list_in(value) is not None for value in values):
        return "multi_label", "a label holds a list"
    counts = Counter(label for label in map(spell, values) if label is not None)
    if names is not None:
        return "single_label", "data.labels names the classes"
    if counts and all(map(is_number, counts)):
        fraction = next((label for label in counts if not is_integer(label)), None)
        if fraction is not None:
            return "regression", f"labels are numbers such as {fraction}"
        if len(counts) > 20 and counts.total() < 5 * len(counts):
            return "regression", f"{len(counts):,} different whole numbers in {counts.total():,} rows"
    for separator in _SEPARATORS[:2]:
        parts = {part.strip() for label in counts for part in label.split(separator) if part.strip()}
        if any(separator in label for label in counts) and len(parts) < len(counts):
            return "multi_label", f"labels are combinations divided by `{separator}`"
    different = len({label.casefold() for label in counts})
    return "single_label", f"{different:,} different label{'s' * (different != 1)}"


def _indexes(row: RawRow, values: Sequence[Any], classes: Classes) -> list[int] | BadRow:
    """Return the sorted class indexes of a row's labels, or what is wrong with the first bad one."""
    found = set()
    for value in values:
        index = classes.class_of(value, row)
        if isinstance(index, BadRow):
            return index
        found.add(index)
    return sorted(found)


def _parts(value: Any, separator: str | None) -> list[Any]:
    """Return the labels that one value holds; a value without any (but an empty list) stays one absent label."""
    listed = list_in(value)
    if listed is not None:
        return listed
    if isinstance(value, str) and separator and value.strip():
        return [part for part in value.split(separator) if part.strip()]
    return [value]


def _separator(values: Iterable[Any]) -> str | None:
    texts = [value for value in values if isinstance(value, str) and list_in(value) is None]
    return next((s for s in _SEPARATORS if any(s in text for text in texts)), None)


def _score(row: RawRow, column: str) -> float | BadRow:
    def bad(reason: str, message: str, fix: str) -> BadRow:
        return BadRow(reason, Problem("data", message, row.file, row.line, column, fix))

    label = spell(row.label)
    if label is None and not (isinstance(row.label, float) and math.isinf(row.label)):
        return bad("no label", unlabelled(row.label), "give it one, or delete the row")
    if label is None or not is_number(label):
        what = f"the label {shortened(repr(row.label))} is not a finite number"
        return bad("label of a wrong type", what, "for classes: problem: single_label")
    number = float(label)
    if abs(number) > LARGEST:
        what = f"{shortened(label)} is too big for a score: is it an id?"
        return bad("huge label", what, "set data.label to the column of the scores")
    return number


def _refuse_constant(rows: Sequence[RawRow], scores: Sequence[float | BadRow], column: str) -> None:
    taught = {s for row, s in zip(rows, scores, strict=True) if row.split == TRAIN and isinstance(s, float)}
    if len(taught) == 1:
        what = f"every training label is {taught.pop():g}: there is nothing to learn"
        raise DataError(
            Problem("data", what, rows[0].file, field=column, fix="set data.label to another column")
        )


def _refuse_scores(rows: Sequence[RawRow], column: str) -> None:
    for row in rows:
        label = spell(row.label)
        if label is not None and is_number(label) and not is_integer(label):
            what = f"the label {label} is a score, not a class"
            fix = "set problem: regression, or data.label to a column of classes"
            raise DataError(Problem("data", what, row.file, row.line, column, fix))


def _refuse_ids(rows: Sequence[RawRow], column: str) -> None:
    """Refuse a column whose numbers are mostly too big for classes; a single one makes a bad row."""
    spelled = [(row, label) for row in rows if (label := spell(row.label)) is not None]
    huge = [(row, label) for row, label in spelled if is_huge(label)]
    if len(huge) > 1 and 2 * len(huge) > len(spelled):
        row, label = huge[0]
        what = f"{len(huge):,} labels are numbers such as {shortened(label)}: they look like ids, not classes"
        fix = "set data.label to the column of the classes"
        raise DataError(Problem("data", what, row.file, row.line, column, fix))


def _refuse_poor_classes(
    rows: Sequence[RawRow], indexes: Sequence[int | BadRow], classes: Classes, column: str
) -> None:
    used = Counter(
        c for row, c in zip(rows, indexes, strict=True) if row.split == TRAIN and isinstance(c, int)
    )
    fix = "set data.label to the column of the classes"
    if len(used) == 1:
        what = f"every training row has the label `{classes.names[next(iter(used))]}`: a classifier needs two"
        fix += ", or add rows of another class"
        raise DataError(Problem("data", what, rows[0].file, field=column, fix=fix))
    if not classes.given and used.total() >= 10 and len(used) > used.total() / 2:
        what = f"{len(used):,} classes in {used.total():,} rows: nearly each row has its own"
        raise DataError(Problem("data", what, rows[0].file, field=column, fix=fix))

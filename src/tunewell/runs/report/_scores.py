"""What a model came to, in tables: scores before and after, each class, and what was taken for what."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from tunewell.records import Eval
from tunewell.runs.report._course import main_metric
from tunewell.runs.report._facts import Facts
from tunewell.runs.uncertainty import interval

_FALLING = {"loss", "rmse", "mse", "mae", "perplexity"}
_SHOWN_CLASSES = 60
_CONFUSED = 20
"""Up to this many classes the whole matrix is shown; of more, the pairs confused most."""
_PAIRS = 12


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of scores; texts, empty where unknown."""

    name: str
    before: str
    after: str
    spread: str
    change: str
    better: bool | None


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The scores on one split, the main one first, and what of them chance alone may explain."""

    split: str
    rows: int
    scores: list[Score]
    remark: str
    before_step: int | None
    after_step: int


class ClassLine(msgspec.Struct, frozen=True, kw_only=True):
    """How one class was told; shares from 0 to 1, None where unknown."""

    name: str
    rows: int
    recall: float
    precision: float | None
    f1: float | None


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken for what: cells of (rows, share of the true class), or the pairs confused most."""

    names: list[str]
    cells: list[list[tuple[int, float]]]
    pairs: list[tuple[str, str, int]]


def scored(facts: Facts) -> Eval | None:
    """Return the evaluation that tells what the run came to: on test rows, else the best on validation rows."""
    tests, watched = facts.evals_on("test"), facts.evals_on("validation")
    if tests and (tests[-1].step > 0 or not watched):
        return tests[-1]
    best = [record for record in watched if record.best]
    return next(iter([*best[-1:], *watched[-1:]]), None)


def scores(facts: Facts) -> Scores | None:
    """Return the table of scores before and after; None where nothing was evaluated."""
    after = scored(facts)
    if after is None:
        return None
    before = next((r for r in facts.evals_on(after.split) if r is not after and r.step < after.step), None)
    main = main_metric(facts)
    names = sorted([*after.metrics, "loss"], key=lambda name: name != main)
    return Scores(
        split=after.split,
        rows=after.rows,
        scores=[_score(name, before, after) for name in names],
        remark=_remark(main, before, after),
        before_step=before.step if before is not None else None,
        after_step=after.step,
    )


def _score(name: str, before: Eval | None, after: Eval) -> Score:
    now = _value(after, name)
    was = _value(before, name) if before is not None else math.nan
    spread = interval(after, name)
    change = now - was
    known = math.isfinite(change)
    falling = name in _FALLING
    return Score(
        name=name.replace("_", " "),
        before=_told(was) if before is not None else "",
        after=_told(now),
        spread=f"{spread.low:.3f} – {spread.high:.3f}" if spread else "",
        change=f"{change:+.3f}" if known else "",
        better=None if not known or change == 0 else (change < 0) == falling,
    )


def _value(record: Eval, name: str) -> float:
    return record.loss if name == "loss" else record.metrics.get(name, math.nan)


def _told(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not a number"


def _remark(main: str, before: Eval | None, after: Eval) -> str:
    """Return in a sentence whether the change is more than chance, as far as that is known."""
    spread = interval(after, main)
    if spread is None:
        return "How far these scores may be off is not known: what was recorded does not tell it."
    name = main.replace("_", " ")
    known = f"On other {after.rows:,} rows of the same kind, {name} would lie between {spread.low:.3f} and {spread.high:.3f} (95 %)."
    earlier = interval(before, main) if before is not None else None
    if earlier is None:
        return known
    if earlier.high < spread.low:
        return f"{known} The gain is more than chance."
    if spread.high < earlier.low:
        return f"{known} It is worse than before training, by more than chance."
    return f"{known} Before training it was as good within this spread: no gain is shown."


def classes(record: Eval | None) -> tuple[list[ClassLine], int]:
    """Return a line for each class, the worst told first, and how many more classes there are."""
    if record is None or not record.recalls:
        return [], 0
    names = list(record.recalls)
    precision = _precisions(record, names)
    lines = []
    for place, name in enumerate(names):
        recall, exact = record.recalls[name], precision[place]
        both = None if exact is None else (2 * exact * recall / (exact + recall) if exact + recall else 0.0)
        rows = record.class_rows.get(name, 0)
        lines.append(ClassLine(name=name, rows=rows, recall=recall, precision=exact, f1=both))
    if len(lines) > _SHOWN_CLASSES:
        lines.sort(key=lambda line: line.recall)
    return lines[:_SHOWN_CLASSES], max(0, len(lines) - _SHOWN_CLASSES)


def _precisions(record: Eval, names: Sequence[str]) -> list[float | None]:
    if not record.confusion or len(record.confusion) != len(names):
        return [None] * len(names)
    told = [sum(row[place] for row in record.confusion) for place in range(len(names))]
    return [
        record.confusion[place][place] / told[place] if told[place] else 0.0 for place in range(len(names))
    ]


def confusion(record: Eval | None) -> Confusion | None:
    """Return what was taken for what; None where it was not recorded."""
    if record is None or not record.confusion:
        return None
    names, counts = list(record.recalls), record.confusion
    if len(names) != len(counts):
        return None
    pairs = sorted(
        (
            (names[true], names[told], count)
            for true, row in enumerate(counts)
            for told, count in enumerate(row)
            if true != told and count
        ),
        key=lambda pair: -pair[2],
    )
    if len(names) > _CONFUSED:
        return Confusion(names=names, cells=[], pairs=pairs[:_PAIRS])
    cells = [[(count, count / max(1, sum(row))) for count in row] for row in counts]
    return Confusion(names=names, cells=cells, pairs=[])

"""A process that reads rows and their texts, so that the server stays small: a question a line in, an answer a line out.

It keeps the rows of the run asked for last, and ends when its input does.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tunewell.problems import InputError
from tunewell.runs.folder import RunFolder
from tunewell.runs.row_predictions import Guess, Predictions, read_predictions

_LONGEST_TEXT = 4_000


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about the rows of the run in the folder `run`."""

    run: str
    want: str
    """rows (a page of them), texts (of `rows`) or report (of the run as it stands)."""
    split: str = "train"
    """Whose page of rows: train or validation."""
    order: str = "loss"
    offset: int = 0
    limit: int = 50
    label: str = ""
    search: str = ""
    rows: list[int] = []
    suspects: list[tuple[int, float]] = []
    excluded: list[int] = []
    classes: list[str] = []
    """Names of the classes that are predicted."""
    epoch_steps: list[int] = []
    """Step at which each epoch ended, or stands."""
    evaluated: list[tuple[int, int]] = []
    """Step, and cursor, of each evaluation of the present course."""


class _Reader:
    """Answers questions; remembers the rows of one run."""

    def __init__(self) -> None:
        self._stamp: tuple[object, ...] = ()
        self._rows: Any = None
        self._predictions = Predictions()

    def answer(self, question: Question) -> dict[str, Any]:
        run = RunFolder(Path(question.run))
        if question.want == "report":
            return {"report": _report(run)}
        self._read(question, run)
        if question.want == "rows":
            return self._page(question)
        return {"rows": [self._row(row, question) for row in question.rows], "why_not": self._rows.why_not}

    def _read(self, question: Question, run: RunFolder) -> None:
        from tunewell.data.shown_rows import read_rows

        files = [run.recipe, run.ledger, *sorted(run.rows.glob("*.bin"))]
        stamp = (question.run, *((path.name, path.stat().st_mtime_ns) for path in files if path.exists()))
        if stamp != self._stamp:
            self._rows, self._stamp = read_rows(run), stamp
            try:
                self._predictions = read_predictions(run.rows)
            except InputError:  # a damaged file: rows are shown without
                self._predictions = Predictions()

    def _page(self, question: Question) -> dict[str, Any]:
        rows = self._rows
        every = self._every(question.split)
        confidence = dict(question.suspects)
        keys: dict[str, Callable[[int], Any]] = {
            "loss": lambda row: _last(self._losses(row, question)),
            "change": lambda row: (
                _changed(self._guesses(row, question)),
                abs(_change(self._losses(row, question))),
            ),
            "forgotten": lambda row: _forgotten(self._losses(row, question)),
            "suspected": lambda row: confidence.get(row, -1.0),
        }
        key = keys[question.order]
        if question.order == "suspected":
            every = [row for row in every if row in confidence]
        if question.label:
            every = [row for row in every if rows.label(row) == question.label]
        if question.search:
            wanted = question.search.casefold()
            every = [row for row in every if wanted in (rows.text(row) or "").casefold()]
        every.sort(key=key, reverse=True)
        excluded = set(question.excluded)
        shown = every[question.offset : question.offset + question.limit]
        return {
            "total": len(every),
            "rows": [{**self._row(row, question), "excluded": row in excluded} for row in shown],
            "why_not": rows.why_not,
            "labels": rows.labels,
        }

    def _every(self, split: str) -> list[int]:
        rows = self._rows
        if split == "train" and rows.history:
            return list(rows.history)
        known = [row for row, own in rows.split_of.items() if own == split]
        return known or (list(self._predictions.validation_rows) if split == "validation" else [])

    def _row(self, row: int, question: Question) -> dict[str, Any]:
        rows = self._rows
        text = rows.text(row)
        losses = self._losses(row, question)
        return {
            "row": row,
            "text": None if text is None else text[:_LONGEST_TEXT],
            "label": rows.label(row),
            "place": rows.examples[row].place if row in rows.examples else None,
            "split": rows.split_of.get(row),
            "losses": [loss if math.isfinite(loss) else None for loss in losses],
            "predicted": [
                [step, in_words(guess, question.classes), guess.probability]
                for step, guess in self._guesses(row, question)
            ],
        }

    def _losses(self, row: int, question: Question) -> list[float]:
        """Return the losses of a training row by epoch, of a validation row by evaluation; NaN: not known."""
        if row in self._predictions.validation_rows:
            guesses = self._guesses(row, question)
            return [math.nan if guess.loss is None else guess.loss for _, guess in guesses]
        found: list[float] = self._rows.history.get(row, [])
        return found

    def _guesses(self, row: int, question: Question) -> list[tuple[int, Guess]]:
        """Return what was predicted of a row with the step of each, oldest first."""
        if row in self._predictions.validation_rows:
            wanted = set(question.evaluated)
            found = self._predictions.of_validation(row)
            return [(step, guess) for cursor, step, guess in found if (step, cursor) in wanted]
        ends = question.epoch_steps
        return [
            (ends[min(epoch, len(ends) - 1)] if ends else 0, guess)
            for epoch, guess in self._predictions.of_training(row)
        ]


def in_words(guess: Guess, classes: Sequence[str]) -> str | None:
    """Return what a model said: a class by name, or a number; None where that is not known."""
    if guess.predicted is None:
        return None
    index = int(guess.predicted)
    is_class = guess.probability is not None and 0 <= index < len(classes)
    return classes[index] if is_class else f"{guess.predicted:g}"


def _report(run: RunFolder) -> str:
    """Return the report of a run as it stands, with the texts of the rows that are to blame."""
    from tunewell.data.shown_rows import row_texts
    from tunewell.runs import log
    from tunewell.runs.report import render
    from tunewell.runs.story import why

    records = list(log.read(run.log))
    blamed = any(incident.rows for incident in why(records).incidents)
    return render(run, records, row_texts(run) if blamed else None)


def _changed(guesses: Sequence[tuple[int, Guess]]) -> bool:
    """Whether another class was predicted last than first."""
    classes = [guess.predicted for _, guess in guesses if guess.probability is not None]
    return len(classes) > 1 and classes[0] != classes[-1]


def _last(losses: list[float]) -> float:
    seen = [loss for loss in losses if not math.isnan(loss)]
    return seen[-1] if seen else -math.inf


def _change(losses: list[float]) -> float:
    seen = [loss for loss in losses if math.isfinite(loss)]
    return seen[-1] - seen[0] if len(seen) > 1 else 0.0


def _forgotten(losses: list[float]) -> float:
    seen = [loss for loss in losses if math.isfinite(loss)]
    return seen[-1] - min(seen) if seen else 0.0


def main() -> None:
    """Answer questions until there are no more."""
    reader = _Reader()
    decoder = msgspec.json.Decoder(Question)
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not stand between answers
    for line in sys.stdin.buffer:
        try:
            told = reader.answer(decoder.decode(line))
        except InputError as error:
            told = {"error": error.problems[0].message}
        except Exception as error:  # the server tells it, and asks on
            told = {"error": f"{type(error).__name__}: {error}"}
        out.write(msgspec.json.encode(told) + b"\n")
        out.flush()


if __name__ == "__main__":
    main()

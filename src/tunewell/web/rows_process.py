"""A process that reads rows and their texts, so that the server stays small: a question a line in, an answer a line out.

It keeps the rows of the run asked for last, and ends when its input does.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tunewell.problems import InputError
from tunewell.runs.folder import RunFolder

_LONGEST_TEXT = 4_000


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about the rows of the run in the folder `run`."""

    run: str
    want: str
    """rows (a page of them), texts (of `rows`) or batch (of `cursor`)."""
    order: str = "loss"
    offset: int = 0
    limit: int = 50
    label: str = ""
    search: str = ""
    rows: list[int] = []
    suspects: list[tuple[int, float]] = []
    excluded: list[int] = []
    cursor: int = 0


class _Reader:
    """Answers questions; remembers the rows, and the order of batches, of one run."""

    def __init__(self) -> None:
        self._stamp: tuple[object, ...] = ()
        self._rows: Any = None
        self._order: Any = None

    def answer(self, question: Question) -> dict[str, Any]:
        from tunewell.data.shown_rows import read_rows

        run = RunFolder(Path(question.run))
        files = [run.recipe, run.ledger, *sorted(run.rows.glob("*.bin"))]
        stamp = (question.run, *((path.name, path.stat().st_mtime_ns) for path in files if path.exists()))
        if stamp != self._stamp:
            if stamp[:1] != self._stamp[:1]:
                self._order = None
            self._rows, self._stamp = read_rows(run), stamp
        match question.want:
            case "rows":
                return self._page(question)
            case "texts":
                return {"rows": [self._row(row) for row in question.rows], "why_not": self._rows.why_not}
            case _:
                return self._batch(run, question)

    def _page(self, question: Question) -> dict[str, Any]:
        rows = self._rows
        every = list(rows.history) or [row for row, split in rows.split_of.items() if split == "train"]
        confidence = dict(question.suspects)
        keys: dict[str, Callable[[int], float]] = {
            "loss": lambda row: _last(rows.history.get(row, [])),
            "change": lambda row: abs(_change(rows.history.get(row, []))),
            "forgotten": lambda row: _forgotten(rows.history.get(row, [])),
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
            "rows": [{**self._row(row), "excluded": row in excluded} for row in shown],
            "why_not": rows.why_not,
            "labels": rows.labels,
        }

    def _row(self, row: int) -> dict[str, Any]:
        rows = self._rows
        text = rows.text(row)
        return {
            "row": row,
            "text": None if text is None else text[:_LONGEST_TEXT],
            "label": rows.label(row),
            "place": rows.examples[row].place if row in rows.examples else None,
            "split": rows.split_of.get(row),
            "losses": [loss if math.isfinite(loss) else None for loss in rows.history.get(row, [])],
            "predicted": [],
        }

    def _batch(self, run: RunFolder, question: Question) -> dict[str, Any]:
        """Return the rows of a batch by its place in the run's order; that takes the tokenizer, so a few seconds."""
        if self._order is None:
            from tunewell.document import load_recipe
            from tunewell.training.setup import prepare_run

            prepared = prepare_run(load_recipe(run.recipe), run.path)
            self._order = (prepared.work.order, prepared.work.encoded.rows)
        order, ids = self._order
        excluded = set(question.excluded)
        rows = [int(ids[index]) for index in order.batch_at(question.cursor)]
        return {
            "rows": [self._row(row) for row in rows if row not in excluded],
            "why_not": self._rows.why_not,
        }


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

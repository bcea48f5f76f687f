"""The rows of a run, to be shown beside what was found of them: place, text, label, and losses by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from tunewell.data.example import Example
from tunewell.data.prepare import prepare
from tunewell.document import load_recipe
from tunewell.problems import InputError
from tunewell.records import Started
from tunewell.runs import log
from tunewell.runs.folder import RunFolder
from tunewell.runs.row_history import read_row_history

_SHOWN_TEXT = 200
_SHOWN_EPOCHS = 6


@dataclass
class ShownRows:
    """Rows by id, with what is known of each; `why_not` says why texts can't be shown."""

    examples: dict[int, Example] = field(default_factory=dict)
    split_of: dict[int, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    history: dict[int, list[float]] = field(default_factory=dict)
    """Losses of each training row by epoch, NaN where it was not seen."""
    why_not: str = ""

    def text(self, row: int) -> str | None:
        """Return the whole text of `row`, both of a pair."""
        example = self.examples.get(row)
        if example is None:
            return None
        return example.text if example.text_pair is None else f"{example.text} | {example.text_pair}"

    def label(self, row: int) -> str | None:
        """Return the label of `row` by name, several joined by commas, or its number."""
        example = self.examples.get(row)
        return None if example is None else _label(example.target, self.labels)


def read_rows(run: RunFolder) -> ShownRows:
    """Return the rows of `run`; reads its data and its files of row losses.

    Where they can't be read, or the data is not what the run was trained on, there are no examples and it says why.
    """
    try:
        history = read_row_history(run.rows)
    except InputError:
        history = {}
    try:
        dataset = prepare(load_recipe(run.recipe), run.path)
    except InputError as error:
        return ShownRows(history=history, why_not=f"its text can't be read: {error.problems[0].message}")
    started = [record for record in log.read(run.log) if isinstance(record, Started)]
    if started and started[-1].data_hash != dataset.hash:
        why = "its text can't be shown: the data is not what the run was trained on"
        return ShownRows(history=history, why_not=why)
    found = [(split, example) for split, examples in dataset.splits.items() for example in examples]
    return ShownRows(
        {example.row: example for _, example in found},
        {example.row: split for split, example in found},
        dataset.labels,
        history,
    )


def row_texts(run: RunFolder) -> Callable[[int], str]:
    """Return a function that shows a row of `run` by its id in a line: text, label, place and losses."""
    rows = read_rows(run)

    def show(row: int) -> str:
        losses = _losses(rows.history.get(row, []))
        if rows.why_not:
            return f"{rows.why_not}{losses}"
        text = rows.text(row)
        if text is None:
            return f"it is not in the data{losses}"
        text = text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 2]} …"
        return f"“{text}” ({rows.label(row)}; {rows.examples[row].place}){losses}"

    return show


def _label(target: int | float | list[int], names: list[str]) -> str:
    if isinstance(target, list):
        return ", ".join(names[one] for one in target) or "no label"
    return names[target] if isinstance(target, int) and names else f"{target:g}"


def _losses(losses: list[float]) -> str:
    seen = [(epoch, loss) for epoch, loss in enumerate(losses, start=1) if not math.isnan(loss)]
    if not seen:
        return ""
    told = ", ".join(f"{loss:.3g}" for _, loss in seen[-_SHOWN_EPOCHS:])
    of = "epoch" if len(seen) == 1 else f"last {min(len(seen), _SHOWN_EPOCHS)} epochs"
    return f", loss in the {of} it was seen in: {told}"

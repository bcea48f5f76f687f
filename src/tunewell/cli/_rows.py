"""The rows of a run, to be shown beside what was found of them: place, text, label, and losses by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

from tunewell.runs.folder import RunFolder

_SHOWN_TEXT = 200
_SHOWN_EPOCHS = 6


def row_texts(run: RunFolder) -> Callable[[int], str]:
    """Return a function that shows a training row by its id; reads the run's data and its files of row losses.

    Where they can't be read, or the data is not what the run was trained on, it says so in place of a text.
    """
    from tunewell.data.prepare import prepare
    from tunewell.document import load_recipe
    from tunewell.problems import InputError
    from tunewell.records import Started
    from tunewell.runs import log
    from tunewell.runs.row_history import read_row_history

    try:
        history = read_row_history(run.rows)
    except InputError:
        history = {}
    try:
        dataset = prepare(load_recipe(run.recipe), run.path)
    except InputError as error:
        why = error.problems[0].message
        return lambda row: f"its text can't be read: {why}{_losses(history.get(row, []))}"
    started = [record for record in log.read(run.log) if isinstance(record, Started)]
    if started and started[-1].data_hash != dataset.hash:
        why = "the data is not what the run was trained on"
        return lambda row: f"its text can't be shown: {why}{_losses(history.get(row, []))}"
    examples = {example.row: example for examples in dataset.splits.values() for example in examples}

    def show(row: int) -> str:
        example = examples.get(row)
        if example is None:
            return f"it is not in the data{_losses(history.get(row, []))}"
        text = example.text if example.text_pair is None else f"{example.text} | {example.text_pair}"
        text = text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 2]} …"
        label = _label(example.target, dataset.labels)
        return f"“{text}” ({label}; {example.place}){_losses(history.get(row, []))}"

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

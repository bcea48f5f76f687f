"""The same monitors over another tool's log, as far as it tells them what they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tunewell.integrations.logs._log import ForeignLog
from tunewell.integrations.logs._moments import moments_of
from tunewell.integrations.logs._names import Columns, columns_of, main_score
from tunewell.integrations.logs._records import records_of
from tunewell.monitors import Watch, build
from tunewell.plugins import load, names
from tunewell.problems import LogError, Problem
from tunewell.records import Ended, Eval, Note, Record, Step

_NEEDS = {
    "exploding_gradient": "gradient_norm",
    "stall": "seconds",
    "overfitting": "validation_loss",
    "overtraining": "validation_loss",
    "plateau": "validation_loss",
}
"""What a monitor of curves can't do without, beside the loss: a role of `_names.ROLES`, or the seconds of an update."""
_MISSING = {
    "gradient_norm": "the log has no gradient norm",
    "learning_rate": "the log has no learning rate",
    "validation_loss": "the log has no validation loss",
    "seconds": "the log does not tell how long an update took",
}
_SHORT = 100
"""Entries below which rules that compare long windows are given shorter ones."""
_SHORTENED: dict[str, dict[str, Any]] = {
    "loss_spike": {"armed": 10},
    "exploding_gradient": {"armed": 10},
    # All of 8 losses above all of 16 has odds of 1 in 735,471 by chance, a z of 3.9.
    "divergence": {"recent": 8, "best": 16, "rank_z": 3.8},
}


def diagnosed(log: ForeignLog, asked: Mapping[str, str]) -> list[Record]:
    """Return the records of `log` with what the monitors find in them, verdicts included.

    `asked` says by role which column is meant where a guess would be wrong. Raises `LogError` where the log has no
    loss, or a cell of it is no number.
    """
    known = dict.fromkeys(name for row in log.rows for name in row.values)
    columns = columns_of(known, asked, log.file)
    if not {"loss", "epoch_loss", "validation_loss"}.intersection(columns.roles):
        fix = f"say which it is: --column loss=NAME; there are {', '.join(list(known)[:20]) or 'no columns'}"
        raise LogError(Problem("log", "no loss is in this log", str(log.file), fix=fix))
    found = moments_of(log, columns)
    records, guesses = records_of(log, found)
    if not any(isinstance(record, Step | Eval) for record in records):
        raise LogError(Problem("log", "no number is in this log", str(log.file)))
    notes = [columns.sentence(), *log.notes, *found.notes, *guesses]
    return [*_told(records, columns), *(Note(step=0, text=text, topic="source") for text in notes)]


def _told(records: Sequence[Record], columns: Columns) -> Iterator[Record]:
    settings, missing = _settings(records, columns)
    watch = Watch(build(settings))
    ended = [record for record in records if isinstance(record, Ended)]
    for record in records:
        if not isinstance(record, Ended):
            yield record
            yield from watch.observe(record)
    for name, verdict in watch.verdicts().items():
        if verdict.kind != "seen":
            yield Note(step=0, text=f"{_words(name)}: {verdict.text}", topic="verdict")
    for name, why in missing.items():
        yield Note(step=0, text=f"{_words(name)}: could not be checked: {why}", topic="verdict")
    inside = [_words(name) for name in names("monitors") if _looks_inside(name)]
    if inside:
        text = f"{len(inside)} kinds of fault show in no log, only inside the run, as `tunewell.watch` looks at it"
        yield Note(step=0, text=f"{text}: {', '.join(inside)}", topic="verdict")
    yield from ended


def _settings(
    records: Sequence[Record], columns: Columns
) -> tuple[dict[str, Literal[False] | dict[str, Any]], dict[str, str]]:
    """Return settings of the monitors for this log, and of those that can't be asked why not."""
    settings: dict[str, Literal[False] | dict[str, Any]] = {
        name: {"metric": main_score(columns.scores)} for name in ("overfitting", "overtraining", "plateau")
    }
    if sum(isinstance(record, Step) for record in records) < _SHORT:
        settings |= _SHORTENED
    missing = {name: _MISSING[need] for name, need in _NEEDS.items() if need not in columns.roles}
    for name in names("monitors"):
        if name in missing or _looks_inside(name):
            settings[name] = False
    return settings, missing


def _looks_inside(monitor: str) -> bool:
    """Tell whether a monitor reads nothing that a log could hold."""
    reads = getattr(load("monitors", monitor), "reads", ())
    return bool(reads) and not {Step, Eval}.intersection(reads)


def _words(name: str) -> str:
    return name.replace("_", " ")

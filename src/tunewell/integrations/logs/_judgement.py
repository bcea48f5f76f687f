"""The same monitors over another tool's log, as far as it tells them what they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tunewell.integrations.logs import _whole as whole
from tunewell.integrations.logs._log import ForeignLog
from tunewell.integrations.logs._moments import moments_of
from tunewell.integrations.logs._names import Columns, columns_of, main_score
from tunewell.integrations.logs._records import records_of
from tunewell.monitors import Verdict, Watch, build
from tunewell.plugins import names
from tunewell.problems import LogError, Problem
from tunewell.records import Ended, Eval, Finding, Note, Record, Step

_OF_CURVES = {
    "loss_spike": "loss",
    "divergence": "loss",
    "oscillation": "loss",
    "non_finite": "loss",
    "underfitting": "loss",
    "exploding_gradient": "gradient_norm",
    "gradient_spike": "gradient_norm",
    "schedule_too_fast": "learning_rate",
    "overfitting": "validation_loss",
    "overtraining": "validation_loss",
    "plateau": "validation_loss",
    "stall": "seconds",
}
"""Monitors that a log can be enough for, and what each needs of it: a role of `_names`, or an update's seconds."""
_MISSING = {
    "loss": "the log has no training loss",
    "gradient_norm": "the log has no gradient norm",
    "learning_rate": "the log has no learning rate",
    "validation_loss": "the log has no validation loss",
    "seconds": "the log does not tell how long an update took",
}


def diagnosed(log: ForeignLog, asked: Mapping[str, str], num_classes: int = 0) -> list[Record]:
    """Return the records of `log` with what the monitors find in them, verdicts included.

    `asked` says by role which column is meant where a guess would be wrong, `num_classes` how many classes there are
    where the log does not know (0: nobody does). Raises `LogError` where the log has no
    loss, or a cell of it is no number.
    """
    known = dict.fromkeys(name for row in log.rows for name in row.values)
    columns = columns_of(known, asked, log.file)
    if not {"loss", "epoch_loss", "validation_loss"}.intersection(columns.roles):
        fix = f"say which it is: --column loss=NAME; there are {', '.join(list(known)[:20]) or 'no columns'}"
        raise LogError(Problem("log", "no loss is in this log", str(log.file), fix=fix))
    log = dataclasses.replace(log, num_classes=num_classes or log.num_classes)
    found = moments_of(log, columns)
    records, guesses = records_of(log, found)
    if not any(isinstance(record, Step | Eval) for record in records):
        raise LogError(Problem("log", "no number is in this log", str(log.file)))
    notes = [columns.sentence(), *log.notes, *found.notes, *guesses]
    return [*_told(records, columns), *(Note(step=0, text=text, topic="source") for text in notes)]


def _told(records: Sequence[Record], columns: Columns) -> Iterator[Record]:
    missing = {
        name: _MISSING[need] for name, need in _OF_CURVES.items() if need not in _known(records, columns)
    }
    watch = Watch(build(_settings(columns) | dict.fromkeys(missing.keys() & names("monitors"), False)))
    seen: list[Record] = []
    stands_still = False
    for record in records:
        if isinstance(record, Ended):
            continue
        findings = [one for one in watch.observe(record) if not (stands_still and one.code == "plateau")]
        stands_still = stands_still or any(one.code == "plateau" for one in findings)  # once is enough
        seen += [record, *findings]
    verdicts = watch.verdicts()
    for code, found in whole.judged(records).items():
        if isinstance(found, Verdict):
            verdicts[code] = found if verdicts[code].kind == "blind" else verdicts[code]
        elif verdicts[code].kind != "seen":
            verdicts[code] = Verdict("seen", found.summary)
            _put_behind(seen, found)
    yield from seen
    inside: list[str] = []
    for name, verdict in verdicts.items():
        if verdict.kind == "blind" and name not in _OF_CURVES:
            inside.append(_words(name))
        elif verdict.kind != "seen":
            yield _verdict(f"{_words(name)}: {verdict.text}")
    for name, why in missing.items():
        yield _verdict(f"{_words(name)}: could not be checked: {why}")
    if inside:
        yield _verdict(
            f"{len(inside)} kinds of fault leave no mark in a log and can only be seen inside the run, by "
            f"`tunewell.watch` or a callback: {', '.join(inside)}"
        )
    yield from (record for record in records if isinstance(record, Ended))


def _put_behind(records: list[Record], finding: Finding) -> None:
    """Put `finding` behind the update that it is about."""
    place = next(i for i, one in enumerate(records) if isinstance(one, Step) and one.step == finding.step)
    records.insert(place + 1, finding)


def _settings(columns: Columns) -> dict[str, Literal[False] | dict[str, Any]]:
    metric = main_score(columns.scores)
    return {name: {"metric": metric} for name in ("overfitting", "overtraining", "plateau")}


def _known(records: Sequence[Record], columns: Columns) -> set[str]:
    """Return what the log tells: roles of columns, and ``loss`` where any of its kinds is there."""
    known = set(columns.roles)
    return known | ({"loss"} if any(isinstance(record, Step) for record in records) else set())


def _verdict(text: str) -> Note:
    return Note(step=0, text=text, topic="verdict")


def _words(name: str) -> str:
    return name.replace("_", " ")

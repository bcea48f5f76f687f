"""The record of a run as tables: one row for each update, evaluation or event; what was undone is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from tunewell.records import Acted, Committed, Eval, Finding, Note, Record, Rewound, StageBegan, Step
from tunewell.runs.timeline import timeline
from tunewell.runs.wording import describe, intended

Kind = Literal["steps", "evals", "events"]
Row = dict[str, Any]

_OWN = {"layer_gradients", "layer_updates", "worst_rows", "label_counts"}
"""Fields of an update that are no single values: layers become columns, the others are left to the log."""


def table(records: Sequence[Record], kind: Kind = "steps", *, undone: bool = False) -> dict[str, list[Any]]:
    """Return the columns of one table; every column is as long as the table, None where a row has no such value.

    ``steps`` has a row for each update, ``evals`` for each evaluation, ``events`` for whatever was found, done, saved
    or noted. With `undone` the updates and evaluations that a rollback or a resume undid are in it too, marked in the
    column of that name.
    """
    kept = {id(record) for record in timeline(records)}
    make: Callable[[Record], Row | None] = {"steps": _step, "evals": _eval, "events": _event}[kind]
    rows: list[Row] = []
    for record in records:
        is_kept = id(record) in kept
        if (row := make(record)) is not None and (is_kept or undone):
            rows.append({**row, "undone": not is_kept} if undone else row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _step(record: Record) -> Row | None:
    if not isinstance(record, Step):
        return None
    row = {name: getattr(record, name) for name in Step.__struct_fields__ if name not in _OWN}
    if row["given"] is None:
        del row["given"]
    for prefix, norms in (("gradient", record.layer_gradients), ("update", record.layer_updates)):
        row |= {f"{prefix}.{layer}": norm for layer, norm in (norms or {}).items()}
    return row


def _eval(record: Record) -> Row | None:
    if not isinstance(record, Eval):
        return None
    names = ("time", "step", "epoch", "split", "loss", "rows", "seconds", "train_loss", "best")
    row = {name: getattr(record, name) for name in names}
    row |= record.metrics
    return row | {f"recall.{name}": value for name, value in record.recalls.items()}


def _event(record: Record) -> Row | None:
    told: tuple[str, str, str]
    match record:
        case Finding():
            told = (record.severity, record.code, record.summary)
        case Acted():
            applied = record.outcome == "applied"
            what = (
                describe(record.action)
                if applied
                else f"wanted to {intended(record.action)} ({record.outcome})"
            )
            told = ("", record.by, f"{what}; {record.detail or record.reason}")
        case Rewound():
            told = ("", record.reason, f"back to step {record.to_step}, checkpoint {record.commit}")
        case Committed():
            told = ("", record.reason, record.folder)
        case StageBegan():
            told = ("", record.name, f"to step {record.last_step}")
        case Note():
            told = ("", record.topic, record.text)
        case _:
            return None
    kind = str(msgspec.to_builtins(record)["type"])
    severity, code, text = told
    return {
        "time": record.time,
        "step": record.step,
        "type": kind,
        "severity": severity,
        "code": code,
        "text": text,
    }

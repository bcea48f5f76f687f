"""The record of a run in the formats of other programs."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tunewell.cli._terminal import say
from tunewell.problems import Problem, RunError
from tunewell.records import Record, spell_non_finite
from tunewell.runs import log
from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.folder import RunFolder
from tunewell.runs.forwarding import Opening, item
from tunewell.runs.tables import Kind, table


def give(run: RunFolder, to: str, out: Path | None, what: Kind, *, undone: bool) -> None:
    """Write the record of `run` as `to` says; raises `RunError` where that can't be."""
    records = list(log.read(run.log))
    if out is None and to not in {"csv", "jsonl"}:
        fix = f"tunewell records {run.name} --to {to} --out " + ("FOLDER" if to == "tensorboard" else "FILE")
        raise RunError(Problem("run", f"{to} can't be written to a terminal", fix=fix))
    if to == "tensorboard":
        assert out is not None
        _events(run, records, out)
    else:
        columns = table(records, what, undone=undone)
        content = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[to](columns)
        if out is None:
            sys.stdout.write(content.decode())
            return
        with in_words("write the table", out):
            write_durably(out, content)
    say(f"Wrote {out}.", style="green")


def _csv(columns: dict[str, list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_cell(value) for value in row])
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return spell_non_finite(value)
    return value


def _jsonl(columns: dict[str, list[Any]]) -> bytes:
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return b"".join(
        msgspec.json.encode(
            spell_non_finite({name: value for name, value in row.items() if value is not None})
        )
        + b"\n"
        for row in rows
    )


def _parquet(columns: dict[str, list[Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _events(run: RunFolder, records: Sequence[Record], out: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("tensorboard") is None:
        fix = "pip install 'tunewell[tensorboard]'"
        raise RunError(Problem("run", "event files need the package `tensorboard`", fix=fix))
    from tunewell.integrations.trackers.tensorboard import Tensorboard

    with in_words("write the events", out):
        out.mkdir(parents=True, exist_ok=True)
        tracker = Tensorboard(Opening(name=run.name, folder=out))
        tracker.take([found for record in records if (found := item(record)) is not None])
        tracker.close("")

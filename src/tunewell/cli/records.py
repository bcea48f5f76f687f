"""`tunewell records`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tunewell.cli._options import RunName


def records(
    run: RunName,
    /,
    *,
    to: Annotated[
        Literal["csv", "parquet", "jsonl", "tensorboard"],
        Parameter(help="csv, parquet, jsonl or tensorboard."),
    ] = "csv",
    out: Annotated[
        Path | None,
        Parameter(help="File to write, a folder for tensorboard; stdout otherwise (csv and jsonl alone)."),
    ] = None,
    what: Annotated[
        Literal["steps", "evals", "events"],
        Parameter(help="Which table: steps, evals or events (findings, actions, checkpoints, notes)."),
    ] = "steps",
    undone: Annotated[
        bool, Parameter(help="With what a rollback or a resume undid, in a column of that name.")
    ] = False,
) -> None:
    """Give the record of a run to other programs: a table, or event files of TensorBoard.

    Example: tunewell records runs/movie_reviews --to parquet --out steps.parquet
    """
    from tunewell.cli import _records
    from tunewell.cli._where import ROOT
    from tunewell.runs.folder import find

    _records.give(find(run, ROOT), to, out, what, undone=undone)

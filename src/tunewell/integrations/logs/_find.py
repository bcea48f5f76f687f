"""Which log is meant by a path, and which reader reads it."""

from __future__ import annotations

import re
from pathlib import Path

from tunewell.integrations.logs._log import ForeignLog
from tunewell.problems import LogError, Problem

_READ = "trainer_state.json, TensorBoard event files, .csv, .tsv, .jsonl and .json can be read"


def read(path: Path) -> ForeignLog:
    """Return the log at `path`: a file, or the newest in a folder; raises `LogError` where there is none.

    In a folder a trainer state is looked for first (in its checkpoints too, that of most steps), then Lightning's
    ``metrics.csv``, TensorBoard's event files, and any other table or file of JSON lines.
    """
    try:
        exists = path.exists()
    except (OSError, ValueError):  # a name that no disk takes
        exists = False
    if not exists:
        raise LogError(Problem("log", "there is no such file or folder", str(path)))
    return _of_folder(path) if path.is_dir() else _of_file(path)


def _of_file(file: Path) -> ForeignLog:
    from tunewell.integrations.logs.csv import csv
    from tunewell.integrations.logs.json import json
    from tunewell.integrations.logs.jsonl import jsonl
    from tunewell.integrations.logs.tensorboard import tensorboard

    if "tfevents" in file.name:
        return tensorboard(file)
    suffix = Path(file.name.removesuffix(".gz")).suffix.lower()
    match suffix:
        case ".json":
            return json(file)
        case ".jsonl" | ".ndjson":
            if _is_own(file):
                raise _own_run(file.parent)
            return jsonl(file)
        case ".csv" | ".tsv":
            return csv(file)
    raise LogError(Problem("log", f"no log is known by the ending `{suffix}`", str(file), fix=_READ))


def _of_folder(folder: Path) -> ForeignLog:
    if _is_own(folder / "log.jsonl"):
        raise _own_run(folder)
    states = [*folder.glob("trainer_state.json"), *folder.glob("checkpoint-*/trainer_state.json")]
    if states:
        return _of_file(max(states, key=_steps_of))
    tables = sorted(folder.rglob("metrics.csv"))
    if tables:
        return _of_file(_only(tables, folder))
    if any(folder.rglob("*tfevents*")):
        from tunewell.integrations.logs.tensorboard import tensorboard

        return tensorboard(folder)
    others = sorted(
        file for ending in ("*.csv", "*.tsv", "*.jsonl", "*.json") for file in folder.glob(ending)
    )
    if not others:
        raise LogError(Problem("log", "no log is in this folder", str(folder), fix=_READ))
    return _of_file(_only(others, folder))


def _only(files: list[Path], folder: Path) -> Path:
    if len(files) > 1:
        shown = ", ".join(file.relative_to(folder).as_posix() for file in files[:5])
        more = " …" if len(files) > 5 else ""
        what = f"{len(files)} logs are in this folder"
        raise LogError(Problem("log", what, str(folder), fix=f"name one of them: {shown}{more}"))
    return files[0]


def _steps_of(state: Path) -> tuple[int, float]:
    """Order trainer states: one beside the checkpoints was written last of all."""
    number = re.search(r"checkpoint-(\d+)$", state.parent.name)
    return (int(number[1]), 0.0) if number else (1 << 62, state.stat().st_mtime)


def _is_own(log: Path) -> bool:
    """Tell whether the lines are records of Tunewell."""
    try:
        with log.open("rb") as lines:
            return lines.read(8) == b'{"type":'
    except OSError:
        return False


def _own_run(folder: Path) -> LogError:
    return LogError(
        Problem("log", "this is a run of Tunewell itself", str(folder), fix=f"tunewell why {folder}")
    )

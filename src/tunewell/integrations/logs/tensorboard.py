"""TensorBoard's event files: the scalars of one run, by tag."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunewell.integrations.logs._log import ForeignLog, Row, Value
from tunewell.problems import LogError, Problem

PATTERN = "*tfevents*"
"""Names of event files."""


def tensorboard(place: Path) -> ForeignLog:
    """Return the log in an event file, or in all those of a folder and the folders in it.

    A folder named for a split, such as Keras' `validation`, or for a curve of its own (`add_scalars`), says so of
    its tags. Raises `LogError` where no scalar is there, several runs are, or the package is missing.
    """
    files = [place] if place.is_file() else sorted(place.rglob(PATTERN))
    if not files:
        raise LogError(Problem("log", "no TensorBoard event file is here", str(place)))
    root = place.parent if place.is_file() else place
    files = _of_one_run(files, root)
    by_step: dict[int, dict[str, Value]] = {}
    latest: dict[str, int] = {}
    notes: list[str] = []
    for file in files:
        prefix = file.parent.relative_to(root).as_posix().removeprefix(".")
        for tag, step, value, seconds in _scalars(file, notes):
            name = f"{prefix}/{tag}" if prefix else tag
            if step <= latest.get(name, -1):
                again = f"`{name}` goes back to step {step:,}: a run that went on from there; the later values are used."
                notes += [again] if not any("goes back" in note for note in notes) else []
                _forget(by_step, name, step)
            latest[name] = step
            by_step.setdefault(step, {})[name] = value
            by_step[step].setdefault("wall_time", seconds)
    if not by_step:
        raise LogError(Problem("log", "no scalar is in it", str(place), fix="is it the log of another run?"))
    rows = [Row(step, by_step[step] | {"step": float(step)}) for step in sorted(by_step)]
    return ForeignLog(place, "TensorBoard", rows, notes=notes)


def _of_one_run(files: list[Path], root: Path) -> list[Path]:
    """Return the files that belong together; raises `LogError` where they are of several runs."""
    from tunewell.integrations.logs._names import names_a_curve

    folders = sorted({file.parent for file in files})
    runs = [folder for folder in folders if folder == root or not names_a_curve(folder.name)]
    if len(runs) > 1:
        shown = ", ".join(folder.relative_to(root).as_posix() for folder in runs[:5] if folder != root)
        fix = f"name one of its folders: {shown}" + (" …" if len(runs) > 6 else "")
        raise LogError(Problem("log", f"{len(runs)} runs are in this folder", str(root), fix=fix))
    return files


def _forget(by_step: dict[int, dict[str, Value]], name: str, step: int) -> None:
    for later in [each for each in by_step if each >= step]:
        by_step[later].pop(name, None)


def _scalars(file: Path, notes: list[str]) -> Iterator[tuple[str, int, float, float]]:
    """Yield tag, step, value and seconds of each scalar; a damaged end is noted and passed over."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util import tensor_util
    except ImportError as error:
        fix = "pip install 'tunewell[tensorboard]'"
        raise LogError(Problem("log", "event files need TensorBoard", str(file), fix=fix)) from error
    try:
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                found = _number(value, tensor_util)
                if found is not None:
                    yield value.tag, event.step, found, event.wall_time
    except (OSError, struct.error, ValueError) as error:
        notes.append(f"{file.name} is damaged, and what follows is lost: {error}")


def _number(value: Any, tensor_util: Any) -> float | None:
    if value.metadata.plugin_data.plugin_name != "scalars":
        return None
    array = tensor_util.make_ndarray(value.tensor)
    return float(array) if array.size == 1 else None

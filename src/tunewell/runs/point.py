"""A point of a run that a checkpoint holds, as a person writes it: ``RUN``, ``RUN@500``, ``RUN@best``, ``RUN@last``."""

from __future__ import annotations

from pathlib import Path

from tunewell.problems import Problem, RunError
from tunewell.runs import checkpoints
from tunewell.runs.checkpoints import Commit
from tunewell.runs.folder import RunFolder, find

_SHOWN = 10


def find_point(point: str, root: str | Path = "runs") -> tuple[RunFolder, Commit]:
    """Return the run and the checkpoint that `point` means; without a step the newest one.

    Of two checkpoints of one step (after a rollback) the newer is meant; the older has a name, ``RUN@0007-step-500``.
    Raises `RunError` naming the steps that have one, the nearest first. The checkpoint's files are not read.
    """
    name, at, step = point.rpartition("@")
    if not at or _is_run(point, root):
        name, step = point, "last"
    run = find(name, root)
    present = checkpoints.commits(run.checkpoints)
    if not present:
        fix = f"`tunewell verify {run.name}` tells what is there"
        raise RunError(
            Problem("run", f"`{run.name}` has no checkpoint that can be used", str(run.path), fix=fix)
        )
    if step == "last":
        return run, present[-1]
    if step == "best":
        return run, _best(run, present)
    found = [commit for commit in present if step in (str(commit.step), commit.folder.name)]
    if not found:
        raise _unknown(run, step, present)
    return run, found[-1]


def _is_run(name: str, root: str | Path) -> bool:
    """Tell whether a run has this very name, ``@`` included."""
    return any(RunFolder(path).exists() for path in (Path(name), Path(root) / name))


def _best(run: RunFolder, present: list[Commit]) -> Commit:
    number = present[-1].facts.get("best_commit")
    best = next((commit for commit in present if commit.commit == number), None)
    if best is None:
        why = "no evaluation has chosen one yet" if number is None else f"checkpoint {number} is not there"
        raise RunError(
            Problem("run", f"`{run.name}` has no best checkpoint: {why}", str(run.path), fix=_steps(present))
        )
    return best


def _unknown(run: RunFolder, step: str, present: list[Commit]) -> RunError:
    if not step.isdecimal():
        fix = f"name a step, `best` or `last`; {_steps(present)}"
        return RunError(Problem("run", f"`{step}` is no step", str(run.path), fix=fix))
    nearest = sorted(present, key=lambda commit: abs(commit.step - int(step)))
    return RunError(
        Problem("run", f"`{run.name}` has no checkpoint of step {step}", str(run.path), fix=_steps(nearest))
    )


def _steps(present: list[Commit]) -> str:
    steps = list(dict.fromkeys(str(commit.step) for commit in present))
    more = f" and {len(steps) - _SHOWN:,} more" if len(steps) > _SHOWN else ""
    return f"there are checkpoints of step {', '.join(steps[:_SHOWN])}{more}"

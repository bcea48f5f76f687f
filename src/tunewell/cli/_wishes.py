"""What `tunewell ctl RUN WISH VALUES` asks for: words of a command line → an action, an undo or a label."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunewell.actions import (
    Action,
    EvaluateNow,
    ExcludeRows,
    IncludeRows,
    Pause,
    Resume,
    Rollback,
    SaveNow,
    SetLearningRate,
    SetMaxGradNorm,
    Stop,
)
from tunewell.problems import Problem, RunError
from tunewell.runs.control import Facts, named
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Label
from tunewell.runs.point import find_point
from tunewell.runs.requests import Asked

_PLAIN: dict[str, Action] = {
    "pause": Pause(),
    "resume": Resume(),
    "save": SaveNow(),
    "evaluate": EvaluateNow(),
    "stop": Stop(),
}
_EXAMPLES = {
    "lr": "lr 1e-5",
    "clip": "clip 1.0, or clip inf to clip no more",
    "rollback": "rollback 500, or a checkpoint's name, best or last",
    "exclude": "exclude 12 15",
    "include": "include 12",
    "undo": "undo, or undo ID",
    "note": 'note "the first that works"',
    "tag": "tag baseline long; none takes all away",
}


def action_of(wish: str, values: Sequence[str], run: RunFolder, facts: Facts) -> Action:
    """Return the action that `wish` with `values` asks of `run`; raises `RunError` for what is none."""
    if wish in _PLAIN:
        _expect(wish, values, 0)
        return _PLAIN[wish]
    match wish:
        case "lr":
            return SetLearningRate(_number(wish, *_expect(wish, values, 1)))
        case "clip":
            return SetMaxGradNorm(_number(wish, *_expect(wish, values, 1)))
        case "rollback":
            return _rollback(*_expect(wish, values, 1), run=run, facts=facts)
        case "exclude" | "include":
            if not values:
                raise _wrong(wish, "no row is named")
            rows = [_row(wish, value) for value in values]
            return ExcludeRows(rows) if wish == "exclude" else IncludeRows(rows)
    raise AssertionError(wish)


def label_of(wish: str, values: Sequence[str]) -> Label:
    """Return what ``note TEXT`` or ``tag A B`` calls a run."""
    return Label(note=_expect(wish, values, 1)[0]) if wish == "note" else Label(tags=list(values))


def undone(values: Sequence[str], asked: Sequence[Asked]) -> Asked:
    """Return the request that ``undo`` means: that whose id begins so, or the last that can be taken back."""
    if not values:
        able = [one for one in asked if one.can_undo]
        if not able:
            raise _wrong("undo", "nothing that was asked for can be taken back")
        return able[-1]
    wanted = _expect("undo", values, 1)[0]
    found = [one for one in asked if one.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{one.id[:8]} ({one.what})" for one in asked if one.can_undo) or "none"
    what = f"{len(found)} requests begin with `{wanted}`" if found else f"there is no request `{wanted}`"
    raise RunError(Problem("run", what, fix=f"those that can be taken back: {known}"))


def _rollback(point: str, *, run: RunFolder, facts: Facts) -> Rollback:
    """Return the way back to a step, a checkpoint's name, ``best`` or ``last``: the last healthy one."""
    healthy = [one for one in facts.points if one.healthy]
    if point == "last" and healthy:
        return Rollback(commit=healthy[-1].commit)
    at_step = [one for one in healthy if str(one.step) == point]
    if at_step:
        return Rollback(commit=at_step[-1].commit)
    if not facts.points and point.isdecimal():  # somebody else's loop keeps its copies in memory
        return Rollback(before=int(point) + 1)
    try:
        _, commit = find_point(f"{run.path}@{point}")
    except RunError as error:
        raise RunError(Problem("run", error.problems[0].message, fix=named(facts.points))) from error
    return Rollback(commit=commit.commit)


def _expect(wish: str, values: Sequence[str], count: int) -> Sequence[str]:
    if len(values) == count:
        return values
    if count == 0:
        raise RunError(Problem("run", f"`{wish}` takes no value, and {' '.join(values)} was given"))
    raise _wrong(wish, f"`{wish}` takes one value, not {len(values)}")


def _number(wish: str, value: str) -> float:
    try:
        return math.inf if value in ("off", "none") and wish == "clip" else float(value)
    except ValueError as error:
        raise _wrong(wish, f"`{value}` is no number") from error


def _row(wish: str, value: str) -> int:
    if not value.isdecimal():
        raise _wrong(wish, f"`{value}` is no row's id")
    return int(value)


def _wrong(wish: str, what: str) -> RunError:
    return RunError(Problem("run", what, fix=f"such as: {_EXAMPLES[wish]}"))

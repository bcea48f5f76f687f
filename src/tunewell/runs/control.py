"""What people may ask of a run: one set of bounds for page, terminal and the run itself, which has the last word."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec

from tunewell.actions import (
    Action,
    EvaluateNow,
    ExcludeRows,
    IncludeRows,
    Pause,
    Resume,
    Rollback,
    ScaleLearningRate,
    SetLearningRate,
    SetMaxGradNorm,
    Stop,
)
from tunewell.problems import Problem, RunError
from tunewell.records import Acted, Ended, Record, Rewound, Started, Step
from tunewell.runs import checkpoints, row_history
from tunewell.runs.checkpoints import Commit
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Label

HIGHEST_RATE = 10.0
"""Of learning rates, as in a recipe."""
MOST_TAGS, LONGEST_TAG, LONGEST_NOTE = 20, 40, 10_000
_SHOWN = 8


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint, or a copy in memory, that a run may go back to."""

    commit: int
    step: int
    name: str
    """As people call it: the folder's name."""
    healthy: bool


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is checked against, as far as whoever checks it knows the run."""

    step: int = 0
    learning_rate: float | None = None
    """Present one; None: not known yet."""
    points: tuple[Point, ...] = ()
    """In the order in which they were made."""
    rows: Collection[int] | None = None
    """Ids of the training rows; None: not known here."""
    excluded: frozenset[int] = frozenset()
    can: frozenset[str] | None = None
    """Tags of the actions that this loop can carry out; None: not known here."""
    paused: bool = False
    has_validation: bool = True
    over: str = ""
    """Why nothing can be asked of it any more; empty: it may."""


def check(action: Action, facts: Facts) -> Problem | None:
    """Return why `action` can't be asked of a run of these `facts`, with what can; None: nothing speaks against it."""
    if facts.over:
        return Problem("run", facts.over, fix="begin a new run from one of its checkpoints: tunewell branch")
    if facts.can is not None and action.__struct_config__.tag not in facts.can:
        return None  # whoever carries actions out there knows why not, and says so
    match action:
        case Pause() if facts.paused:
            return Problem("run", f"it is paused already, since step {facts.step:,}", fix="resume it")
        case Resume() if not facts.paused:
            return Problem("run", "it is not paused: there is nothing to resume")
        case EvaluateNow() if not facts.has_validation:
            return Problem("run", "it has no validation rows to evaluate on", fix="set `data.validation`")
        case SetLearningRate() | ScaleLearningRate() | SetMaxGradNorm():
            return _of_number(action, facts)
        case Rollback():
            return _of_rollback(action, facts)
        case ExcludeRows(rows=rows) | IncludeRows(rows=rows):
            return _of_rows(rows, facts, excludes=isinstance(action, ExcludeRows))
    return None


def check_label(label: Label) -> Problem | None:
    """Return why a run can't be called this; None: it can."""
    tags = label.tags or []
    if len(tags) > MOST_TAGS:
        return Problem("run", f"a run has at most {MOST_TAGS} tags, not {len(tags)}", field="tags")
    for tag in tags:
        if not 0 < len(tag.strip()) <= LONGEST_TAG or not tag.isprintable():
            fix = f"give each 1 to {LONGEST_TAG} printable characters"
            return Problem("run", f"{tag[: 2 * LONGEST_TAG]!r} is no tag", field="tags", fix=fix)
    if label.note is not None and len(label.note) > LONGEST_NOTE:
        what = f"a note has at most {LONGEST_NOTE:,} characters, not {len(label.note):,}"
        return Problem("run", what, field="note")
    return None


def controls(facts: Facts, *, training: bool = True) -> dict[str, str]:
    """Return by control (``pause``, ``lr`` …) why it can't be used now; an empty text: it can.

    `training`: a process holds the run. Where none does, whatever is asked waits until the run goes on.
    """
    off = facts.over or ("" if training else "nobody trains it now: tunewell resume goes on with it")
    healthy = any(point.healthy for point in facts.points)
    own = {
        "pause": "it is paused already" if facts.paused else "",
        "resume": "" if facts.paused else "it is not paused",
        "save": "",
        "evaluate": "" if facts.has_validation else "it has no validation rows",
        "lr": "",
        "clip": "",
        "rollback": "" if healthy else "there is no healthy checkpoint yet",
        "exclude": "",
        "include": "" if facts.excluded else "no row is excluded",
        "stop": "",
    }
    tags = {"lr": "set_learning_rate", "clip": "set_max_grad_norm", "exclude": "exclude_rows", "include": "include_rows",
            "save": "save_now", "evaluate": "evaluate_now"}  # fmt: skip
    if facts.can is not None:
        lacking = {name for name in own if tags.get(name, name) not in facts.can}
        own |= dict.fromkeys(lacking, "this loop can't do that")
    return {name: off or why for name, why in own.items()}


def read_facts(run: RunFolder, records: Sequence[Record]) -> Facts:
    """Return what can be told of `run` from outside, from its folder and its log; steps may be left out but the last."""
    step = next((record for record in reversed(records) if isinstance(record, Step)), None)
    started = next((record for record in reversed(records) if isinstance(record, Started)), None)
    stands = [record for record in records if isinstance(record, Step | Rewound)]
    at = stands[-1].step if stands and isinstance(stands[-1], Step) else 0
    if stands and isinstance(stands[-1], Rewound):
        at = stands[-1].to_step
    ended = last_end(records)
    is_over = ended is not None and (ended.status in ("completed", "stopped") or is_watched(records))
    try:
        rows = row_history.read_rows(run.rows)
    except RunError:  # damaged: whoever trains knows them
        rows = None
    return Facts(
        step=at,
        learning_rate=step.learning_rate if step else None,
        points=points(checkpoints.commits(run.checkpoints)),
        rows=rows,
        excluded=excluded(records),
        paused=is_paused(records),
        has_validation=started is None or started.num_rows.get("validation", 0) > 0,
        over=f"the run is over ({ended.status}): nothing can be done about it" if ended and is_over else "",
    )


def points(commits: Sequence[Commit]) -> tuple[Point, ...]:
    """Return the checkpoints of a run as places to go back to."""
    return tuple(
        Point(commit=one.commit, step=one.step, name=one.folder.name, healthy=one.healthy) for one in commits
    )


def excluded(records: Sequence[Record]) -> frozenset[int]:
    """Return the rows that a run's log says are left out."""
    rows: set[int] = set()
    for record in records:
        if isinstance(record, Acted) and record.outcome == "applied":
            if isinstance(record.action, ExcludeRows):
                rows.update(record.action.rows)
            elif isinstance(record.action, IncludeRows):
                rows.difference_update(record.action.rows)
    return frozenset(rows)


def is_paused(records: Sequence[Record]) -> bool:
    """Tell whether a log says that its run stands paused: a process that ended, or took over, waits no more."""
    for record in reversed(records):
        if isinstance(record, Ended | Step) or (isinstance(record, Rewound) and record.reason == "resume"):
            return False
        if isinstance(record, Acted) and record.outcome == "applied":
            if isinstance(record.action, Pause):
                return True
            if isinstance(record.action, Resume | Stop):
                return False
    return False


def last_end(records: Sequence[Record]) -> Ended | None:
    """Return how a run ended, unless it went on since."""
    for record in reversed(records):
        if isinstance(record, Ended):
            return record
        if isinstance(record, Step) or (isinstance(record, Rewound) and record.reason == "resume"):
            return None
    return None


def is_watched(records: Sequence[Record]) -> bool:
    """Tell whether a run is of somebody else's loop, which nobody can resume."""
    started = next((record for record in records if isinstance(record, Started)), None)
    return started is not None and not started.recipe_hash


def named(known: Sequence[Point]) -> str:
    """Return the healthy ones of `known` in words."""
    names = [f"{point.commit} (step {point.step:,})" for point in known if point.healthy]
    if not names:
        return "there is none to go back to yet"
    more = f" and {len(names) - _SHOWN} older ones" if len(names) > _SHOWN else ""
    return f"there are {', '.join(names[-_SHOWN:])}{more}"


def _of_number(action: SetLearningRate | ScaleLearningRate | SetMaxGradNorm, facts: Facts) -> Problem | None:
    match action:
        case SetMaxGradNorm(value=value):
            if value > 0:
                return None
            return Problem(
                "run", f"gradients can't be clipped at {value:g}", field="value",
                fix="give a norm above 0, such as 1.0; or `inf` to clip no more",
            )  # fmt: skip
        case SetLearningRate(value=value):
            rate, told = value, f"a learning rate can't be {value:g}"
        case ScaleLearningRate(factor=factor):
            rate = factor if facts.learning_rate is None else factor * facts.learning_rate
            told = f"a learning rate can't be multiplied by {factor:g}"
            if math.isfinite(factor) and 0 < factor < 1e6 and facts.learning_rate is None:
                return None
    if math.isfinite(rate) and 0 < rate <= HIGHEST_RATE:
        return None
    now = "" if facts.learning_rate is None else f"; it is {facts.learning_rate:.3g} now"
    fix = f"give a number above 0 and up to {HIGHEST_RATE:g}{now}"
    return Problem("run", told, field="value" if isinstance(action, SetLearningRate) else "factor", fix=fix)


def _of_rollback(action: Rollback, facts: Facts) -> Problem | None:
    factor = action.learning_rate_factor
    if not (math.isfinite(factor) and 0 < factor < 1e6):
        what = f"a learning rate can't be multiplied by {factor:g}"
        return Problem("run", what, field="learning_rate_factor", fix="give a number above 0, such as 0.5")
    if action.commit is None:
        if any(point.healthy and point.step < action.before for point in facts.points):
            return None
        what = f"there is no healthy checkpoint before step {action.before:,}"
        return Problem("run", what, field="before", fix=named(facts.points))
    found = next((point for point in facts.points if point.commit == action.commit), None)
    if found is not None and found.healthy:
        return None
    what = f"there is no checkpoint {action.commit}, or it was deleted for newer ones"
    if found is not None:
        what = f"checkpoint {found.name} is no place to go back to: a fault was open when it was made, or it is passing"
    return Problem("run", what, field="commit", fix=named(facts.points))


def _of_rows(rows: Sequence[int], facts: Facts, *, excludes: bool) -> Problem | None:
    if not rows:
        return Problem("run", "no row is named", field="rows", fix="give row ids, such as 12 15")
    present = None if facts.rows is None else set(facts.rows)
    unknown = [] if present is None else sorted(set(rows) - present)
    if unknown:
        told = _listed(unknown)
        what = (
            f"the training split has no row {told}"
            if len(unknown) == 1
            else f"the training split has no rows {told}"
        )
        return Problem(
            "run", what, field="rows", fix="row ids are those of `tunewell review` and `tunewell why`"
        )
    if not excludes:
        if facts.excluded.isdisjoint(rows):
            return Problem("run", "none of these rows is excluded", field="rows", fix=_excluded(facts))
        return None
    if facts.excluded.issuperset(rows):
        return Problem("run", "these rows are excluded already", field="rows", fix=_excluded(facts))
    if present is not None and present <= facts.excluded | set(rows):
        return Problem("run", "no row would be left to train on", field="rows", fix="leave some in")
    return None


def _excluded(facts: Facts) -> str:
    return f"excluded are {_listed(sorted(facts.excluded))}" if facts.excluded else "no row is excluded"


def _listed(rows: Sequence[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    return shown if len(rows) <= _SHOWN else f"{shown} and {len(rows) - _SHOWN:,} more"

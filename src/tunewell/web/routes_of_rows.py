"""Answers about the rows of a run: its data, its examples, and the batch behind a point of a curve."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewell.problems import InputError
from tunewell.records import Eval, Record, Step
from tunewell.runs import checkpoints, control
from tunewell.runs.downsample import finite
from tunewell.runs.live import LiveLog
from tunewell.runs.row_predictions import Guess, evaluations
from tunewell.web.answers import AskError, answer, choice, run_id, whole
from tunewell.web.data import data, suspects
from tunewell.web.flags import flags
from tunewell.web.looks import index_of, steps_at
from tunewell.web.routes_of_many import hub_of
from tunewell.web.rows_process import Question, in_words
from tunewell.web.watched import WatchedRun

ORDERS = ("loss", "change", "forgotten", "suspected")
_TEXTS = 200
_NEAR = 1
_PATIENCE = 1.5
_FIGURES = ("loss", "learning_rate", "gradient_norm")
_NO_ORDER = (
    "which rows made this update is not known: the run keeps no order of its rows (runs that `tunewell train` made from "
    "now on do; another program's loop, and an older run, do not)"
)


async def about_data(request: Request) -> Response:
    """Return what is known of a run's data, with the texts of the rows that are shown."""
    hub = hub_of(request)
    found = await hub.ask(run_id(request), data)
    wanted = [one["row"] for one in found["suspects"]][:_TEXTS]
    if wanted:
        run = hub.run(run_id(request))
        try:
            told = await hub.rows.ask(Question(run=str(run.folder.path), want="texts", rows=wanted))
        except AskError as error:
            told = {"rows": [], "why_not": error.fix or error.error}
        by_row = {one["row"]: one for one in told["rows"]}
        for one in found["suspects"]:
            known = by_row.get(one["row"], {})
            one |= {"text": known.get("text"), "place": known.get("place")}
        found["why_not"] = told["why_not"]
    return answer(found)


async def rows(request: Request) -> Response:
    """Return a page of a run's training rows."""
    hub = hub_of(request)
    order = choice(request, "order", "loss", ORDERS)
    offset, limit = whole(request, "offset", 0, 0, 10**9), whole(request, "limit", 50, 1, 500)

    def known(run: WatchedRun) -> Question:
        records = run.log.records
        return Question(
            run=str(run.folder.path),
            want="rows",
            split=choice(request, "split", "train", ("train", "validation")),
            order=order,
            offset=offset,
            limit=limit,
            label=request.query_params.get("label", "")[:500],
            search=request.query_params.get("search", "")[:500],
            suspects=[(one["row"], one["confidence"]) for one in suspects(run)],
            excluded=sorted(control.excluded(records)),
            classes=classes_of(records),
            epoch_steps=_epoch_steps(run.log),
            evaluated=_evaluated(run),
        )

    question = await hub.ask(run_id(request), known)
    return answer(await hub.rows.ask(question))


def _epoch_steps(log: LiveLog) -> list[int]:
    """Return the step at which each epoch ended; of the one under way, the last."""
    epochs, steps = log.columns["epoch"], log.columns["step"]
    last = math.ceil(epochs[-1] - 1e-9) if len(steps) else 0
    ends = [bisect_right(epochs, epoch + 1e-9) for epoch in range(1, last + 1)]
    return [int(steps[end - 1]) for end in ends if end]


def _evaluated(run: WatchedRun) -> list[tuple[int, int]]:
    """Return (step, cursor) of each evaluation that no rollback undid: a cursor never rewinds, so it tells the course."""
    steps, cursors = run.log.columns["step"], run.log.columns["cursor"]
    found = []
    for cursor, step in evaluations(run.folder.rows):
        at = bisect_right(steps, step)  # the update behind it
        if (at == 0 or cursors[at - 1] < cursor) and (at == len(steps) or cursors[at] >= cursor):
            found.append((step, cursor))
    return found


async def point(request: Request) -> Response:
    """Return what stands behind one update: its rows, the nearest checkpoint, what happened there."""
    hub = hub_of(request)
    step: int = request.path_params["step"]
    found = await hub.ask(run_id(request), lambda run: _point(run, step))
    wanted = [one["row"] for one in found["rows"]]
    if not wanted:
        return answer(found)
    run = hub.run(run_id(request))
    asked = asyncio.ensure_future(hub.rows.ask(Question(run=str(run.folder.path), want="texts", rows=wanted)))
    hub.keep_task(asked)
    done, _ = await asyncio.wait({asked}, timeout=_PATIENCE)
    if not done:  # the data is being read: what is known goes first, the page asks again for the texts
        return answer({**found, "pending": True})
    try:
        told = asked.result()
    except AskError as error:
        told = {"rows": [], "why_not": error.fix or error.error}
    by_row = {one["row"]: one for one in told["rows"]}
    for one in found["rows"]:
        known = by_row.get(one["row"], {})
        one |= {name: known.get(name) for name in ("text", "label", "place")}
    return answer({**found, "why_not": told["why_not"]})


def _point(run: WatchedRun, step: int) -> dict[str, Any]:
    log = run.log
    steps = log.columns["step"]
    at = bisect_left(steps, step)
    if at == len(steps) or steps[at] != step:
        raise AskError(f"there is no update {step:,}", "choose one that is on the curve", status=404)
    value = {name: log.columns[name][at] for name in ("cursor", "epoch", "time", *_FIGURES)}
    present = [one for one in checkpoints.commits(run.folder.checkpoints) if one.step <= step]
    nearest = present[-1] if present else None
    rows, why_not = _rows_of(run, at)
    return {
        "step": step,
        "cursor": int(value["cursor"]),
        "epoch": value["epoch"],
        "time": value["time"],
        **{name: finite(value[name]) for name in _FIGURES},
        "checkpoint": None
        if nearest is None
        else {"commit": nearest.commit, "step": nearest.step, "folder": nearest.folder.name},
        "branch": f"tunewell branch {run.folder.name}@{nearest.step}" if nearest else "",
        "flags": [one for one in flags(log.records, [], []) if abs(one["step"] - step) <= _NEAR],
        "rows": rows,
        "why_not": why_not,
        "pending": False,
    }


def _rows_of(run: WatchedRun, at: int) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of the update at index `at` without their texts, or why they are not known."""
    from tunewell.data.point_rows import rows_of_update  # brings numpy along: not needed to start

    log = run.log
    step, cursor = log.columns["step"][at], log.columns["cursor"][at]
    try:
        found = rows_of_update(run.folder, step, cursor, control.excluded(log.records_before(at)))
    except InputError as error:
        return [], f"which rows made it can't be told: {error.problems[0].message}"
    if found is None:
        return [], _NO_ORDER
    here = [one for one in steps_at(log, _lines_near(run, step)) if (one.step, one.cursor) == (step, cursor)]
    logged = {row: finite(loss) for one in here for row, loss in one.worst_rows}
    classes = classes_of(log.records)
    rows = [
        {
            **dict.fromkeys(("text", "label", "place")),
            "row": one.row,
            "then": logged.get(one.row) if one.then is None else one.then,  # its epoch is not written yet
            "now": one.now,
            "share": one.share,
            "predicted_then": _guess(one.predicted_then, classes),
            "predicted_now": _guess(one.predicted_now, classes),
            "changed": _is_other(one.predicted_then, one.predicted_now),
        }
        for one in found.rows
    ]
    if any(one["then"] is None for one in rows):  # a share of what is not all known would mislead
        rows = [{**one, "share": None} for one in rows]
    return sorted(rows, key=lambda one: -(one["then"] if one["then"] is not None else -1.0)), ""


def classes_of(records: Sequence[Record]) -> list[str]:
    """Return the names of the classes in the order in which they are predicted; nothing where there are none."""
    return next((list(one.recalls) for one in reversed(records) if isinstance(one, Eval) and one.recalls), [])


def _guess(guess: Guess | None, classes: list[str]) -> dict[str, Any] | None:
    if guess is None:
        return None
    return {"label": in_words(guess, classes), "probability": guess.probability}


def _is_other(then: Guess | None, now: Guess | None) -> bool:
    """Whether another class is predicted now than then."""
    if then is None or now is None or then.probability is None:
        return False
    return then.predicted != now.predicted


def _lines_near(run: WatchedRun, step: int) -> list[int]:
    """Return where the lines begin that may be the update's own, of those in which single rows stood out."""
    starts = index_of(run, "rows").starts
    low, high = 0, len(starts)
    while high - low > 64:  # steps grow along the log but for rewinds, so a few around are read
        middle = (low + high) // 2
        found: list[Step] = steps_at(run.log, [starts[middle]])
        if not found:
            break
        low, high = (middle, high) if found[0].step <= step else (low, middle)
    return list(starts[max(0, low - 64) : high + 64])


ROUTES = [
    Route("/api/runs/{run}/data", about_data),
    Route("/api/runs/{run}/rows", rows),
    Route("/api/runs/{run}/points/{step:int}", point),
]

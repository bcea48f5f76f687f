"""Answers about the rows of a run: its data, its examples, and the batch behind a point of a curve."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewell.records import Step
from tunewell.runs import checkpoints, control
from tunewell.runs.downsample import finite
from tunewell.web.answers import AskError, answer, choice, run_id, whole
from tunewell.web.data import data, suspects
from tunewell.web.flags import flags
from tunewell.web.looks import index_of, steps_at
from tunewell.web.routes_of_many import hub_of
from tunewell.web.rows_process import Question
from tunewell.web.watched import WatchedRun

ORDERS = ("loss", "change", "forgotten", "suspected")
_TEXTS = 200
_NEAR = 1
_PATIENCE = 1.5


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

    def known(run: WatchedRun) -> tuple[list[tuple[int, float]], list[int]]:
        return [(one["row"], one["confidence"]) for one in suspects(run)], sorted(
            control.excluded(run.log.records)
        )

    suspected, excluded = await hub.ask(run_id(request), known)
    question = Question(
        run=str(hub.run(run_id(request)).folder.path),
        want="rows",
        order=order,
        offset=offset,
        limit=limit,
        label=request.query_params.get("label", "")[:500],
        search=request.query_params.get("search", "")[:500],
        suspects=suspected,
        excluded=excluded,
    )
    return answer(await hub.rows.ask(question))


async def point(request: Request) -> Response:
    """Return what stands behind one update: its rows, the nearest checkpoint, what happened there."""
    hub = hub_of(request)
    step: int = request.path_params["step"]
    found = await hub.ask(run_id(request), lambda run: _point(run, step))
    run = hub.run(run_id(request))
    excluded, then, cursor, epoch = found.pop("excluded"), found.pop("then"), found["cursor"], found["epoch"]
    question = Question(run=str(run.folder.path), want="batch", cursor=cursor, excluded=excluded)
    asked = asyncio.ensure_future(hub.rows.ask(question))
    hub.keep_task(asked)
    done, _ = await asyncio.wait({asked}, timeout=_PATIENCE)
    if not done:  # the tokenizer is being loaded: what is known goes first, the page asks again
        return answer({**found, "rows": [], "why_not": "", "pending": True})
    try:
        told = asked.result()
    except AskError as error:
        told = {"rows": [], "why_not": error.fix or error.error}
    found |= {"why_not": told["why_not"], "pending": False}
    found["rows"] = _shares([_of_batch(one, then, epoch) for one in told["rows"]])
    return answer(found)


def _point(run: WatchedRun, step: int) -> dict[str, Any]:
    log = run.log
    steps = log.columns["step"]
    at = bisect_left(steps, step)
    if at == len(steps) or steps[at] != step:
        raise AskError(f"there is no update {step:,}", "choose one that is on the curve", status=404)
    value = {
        name: log.columns[name][at]
        for name in ("cursor", "epoch", "time", "loss", "learning_rate", "gradient_norm")
    }
    here = [
        one
        for one in steps_at(log, _lines_near(run, step))
        if one.step == step and one.cursor == value["cursor"]
    ]
    present = [one for one in checkpoints.commits(run.folder.checkpoints) if one.step <= step]
    nearest = present[-1] if present else None
    name = run.folder.name
    return {
        "step": step,
        "cursor": int(value["cursor"]),
        "epoch": value["epoch"],
        "time": value["time"],
        "loss": finite(value["loss"]),
        "learning_rate": finite(value["learning_rate"]),
        "gradient_norm": finite(value["gradient_norm"]),
        "checkpoint": None
        if nearest is None
        else {"commit": nearest.commit, "step": nearest.step, "folder": nearest.folder.name},
        "branch": f"tunewell branch {name}@{nearest.step}" if nearest else "",
        "flags": [one for one in flags(log.records, [], []) if abs(one["step"] - step) <= _NEAR],
        "excluded": sorted(control.excluded(log.records)),
        "then": {row: finite(loss) for one in here for row, loss in one.worst_rows},
    }


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


def _of_batch(row: dict[str, Any], then: dict[int, float | None], epoch: float) -> dict[str, Any]:
    """Return a row of a batch with its loss then (in that epoch, or in that very update where it was logged) and now."""
    losses = row["losses"]
    number = min(int(max(0.0, epoch - 1e-9)), len(losses) - 1) if losses else -1
    seen = [loss for loss in losses if loss is not None]
    return {
        "row": row["row"],
        "text": row["text"],
        "label": row["label"],
        "place": row["place"],
        "then": then.get(row["row"], losses[number] if number >= 0 else None),
        "now": seen[-1] if seen else None,
        "share": None,
        "predicted_then": None,
        "predicted_now": None,
    }


def _shares(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    total = sum(one["then"] for one in rows if one["then"] is not None)
    for one in rows:
        one["share"] = one["then"] / total if total > 0 and one["then"] is not None else None
    return sorted(rows, key=lambda one: -(one["then"] if one["then"] is not None else -1.0))


ROUTES = [
    Route("/api/runs/{run}/data", about_data),
    Route("/api/runs/{run}/rows", rows),
    Route("/api/runs/{run}/points/{step:int}", point),
]

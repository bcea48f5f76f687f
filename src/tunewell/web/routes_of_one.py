"""Answers about one run."""

from __future__ import annotations

import os
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from tunewell.runs.summary import stored
from tunewell.web.answers import AskError, answer, choice, encoded, number, plain, run_id, whole
from tunewell.web.looks import layers
from tunewell.web.machine import system
from tunewell.web.routes_of_many import hub_of
from tunewell.web.rows_process import Question
from tunewell.web.series import AXES, MOST_KEYS, MOST_POINTS, is_key, series
from tunewell.web.story import cursor, overview
from tunewell.web.watched import WatchedRun

_LOG_BYTES = 1 << 20
_FINISHED = {"completed", "stopped", "failed"}
"""A run that ended so left its report; it is made anew where the run went on since."""


async def one(request: Request) -> Response:
    """Return all about a run but its curves."""
    return answer(await hub_of(request).ask(run_id(request), lambda run: encoded(overview(run))))


async def curves(request: Request) -> Response:
    """Return curves."""
    keys = list(dict.fromkeys(key for key in request.query_params.get("keys", "loss").split(",") if key))
    unknown = [key for key in keys if not is_key(key)]
    if unknown or len(keys) > MOST_KEYS:
        what = f"there is no curve `{unknown[0][:80]}`" if unknown else f"at most {MOST_KEYS} curves at once"
        raise AskError(what, "the overview's `series` names them", field="keys")
    x = choice(request, "x", "step", AXES)
    first, last = number(request, "from", None, -1e18, 1e18), number(request, "to", None, -1e18, 1e18)
    points = whole(request, "points", 1_200, 2, MOST_POINTS)
    half_life = number(request, "smooth", 0.0, 0.0, 1e9) or 0.0

    def view(run: WatchedRun) -> bytes:
        return plain({**series(run, keys, x, first, last, points, half_life), "cursor": cursor(run)})

    return answer(await hub_of(request).ask(run_id(request), view))


async def log(request: Request) -> Response:
    """Return the records of a log as they are, from the byte `after` on."""
    after = whole(request, "after", 0, 0, 1 << 60)
    limit = whole(request, "limit", 1_000, 1, 10_000)
    hub = hub_of(request)
    path = hub.root.inside(hub.root.run(run_id(request)).log)

    def piece() -> bytes:
        with path.open("rb", buffering=0) as file:
            text = os.pread(file.fileno(), _LOG_BYTES, after)
        lines = text[: text.rfind(b"\n") + 1].splitlines(keepends=True)[:limit]
        return b"".join(lines)

    text = await hub.thread(piece)
    return Response(text, media_type="application/x-ndjson", headers={"x-next": str(after + len(text))})


async def report(request: Request) -> Response:
    """Return the report that a finished run left, or one of the run as it stands."""
    hub = hub_of(request)
    run = hub.root.run(run_id(request))
    path = hub.root.inside(run.report)
    known = await hub.thread(lambda: stored(run))
    if known is not None and known.status in _FINISHED and path.is_file():
        return FileResponse(path, media_type="text/html")
    if not run.log.is_file():
        raise AskError("this run has no report yet", "it has not begun to log; ask again later", status=404)
    told = await hub.rows.ask(
        Question(run=str(run.path), want="report")
    )  # a long log takes a while: not here
    return HTMLResponse(told["report"])


async def of_layers(request: Request) -> Response:
    """Return gradient norms or update sizes by layer."""
    what = choice(request, "what", "gradients", ("gradients", "updates"))
    points = whole(request, "points", 300, 2, 2_000)
    return answer(await hub_of(request).ask(run_id(request), lambda run: layers(run, what, points)))


async def machine(request: Request) -> Response:
    """Return what is known of the machine."""
    return answer(await hub_of(request).ask(run_id(request), system))


ROUTES: list[Any] = [
    Route("/api/runs/{run}", one),
    Route("/api/runs/{run}/series", curves),
    Route("/api/runs/{run}/log", log),
    Route("/api/runs/{run}/layers", of_layers),
    Route("/api/runs/{run}/system", machine),
    Route("/report/{run}", report),
]

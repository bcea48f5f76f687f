"""Answers about several runs: the list, small curves, comparison, and what Prometheus reads."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewell.web.answers import answer, choice, ids, whole
from tunewell.web.compare import compared
from tunewell.web.hub import Hub
from tunewell.web.listing import in_order, matching
from tunewell.web.prometheus import CONTENT_TYPE, exposition
from tunewell.web.sparks import spark

_SORTS = ("started", "updated", "name", "status", "step", "loss", "metric", "seconds", "test")


def hub_of(request: Request) -> Hub:
    """Return what reads runs here."""
    hub: Hub = request.app.state.hub
    return hub


async def runs(request: Request) -> Response:
    """List runs."""
    hub = hub_of(request)
    search = request.query_params.get("search", "")[:200]
    sort: Any = choice(request, "sort", "started", _SORTS)
    descending = (
        choice(request, "order", "asc" if sort in {"name", "status"} else "desc", ("asc", "desc")) == "desc"
    )
    offset, limit = whole(request, "offset", 0, 0, 10**9), whole(request, "limit", 100, 1, 1_000)

    def listed() -> dict[str, Any]:
        every = hub.listing.rows()
        found = matching(every, search)
        if sort != "started" or not descending:
            found = in_order(found, sort, descending=descending)
        return {
            "total": len(every),
            "matching": len(found),
            "root": str(hub.root.path),
            "runs": found[offset : offset + limit],
            "cursor": f"list={hub.listing.version}",
        }

    return answer(await hub.thread(listed))


async def sparks(request: Request) -> Response:
    """Return small curves of the training loss."""
    hub = hub_of(request)
    folders = {one: hub.root.run(one) for one in ids(request, 100)}
    return answer(await hub.thread(lambda: {one: spark(hub, folder) for one, folder in folders.items()}))


async def compare(request: Request) -> Response:
    """Return where runs differ."""
    hub = hub_of(request)
    wanted = [hub.run(one) for one in ids(request, 20)]
    return answer(await hub.thread(lambda: compared(wanted)))


async def metrics(request: Request) -> Response:
    """Return what Prometheus reads."""
    hub = hub_of(request)
    text = await hub.thread(lambda: exposition(hub.listing.rows(), hub.clients))
    return Response(text, media_type=CONTENT_TYPE)


ROUTES = [
    Route("/api/runs", runs),
    Route("/api/sparks", sparks),
    Route("/api/compare", compare),
    Route("/metrics", metrics),
]

"""What other commands of the same person ask the server: whether it is there, a fresh link, to end."""

from __future__ import annotations

import asyncio
import os

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewell.web.answers import AskError, answer


async def ping(request: Request) -> Response:
    """Tell who answers."""
    return answer({"root": str(request.app.state.hub.root.path.resolve()), "pid": os.getpid()})


async def link(request: Request) -> Response:
    """Return the code of a fresh one-time link; only the token's holder may ask, not a page."""
    _only_by_token(request)
    return answer({"code": request.app.state.access.link_code()})


async def stop(request: Request) -> Response:
    """End the server; only the token's holder may ask, not a page."""
    _only_by_token(request)
    asyncio.get_running_loop().call_later(0.05, request.app.state.stop)
    return answer({})


def _only_by_token(request: Request) -> None:
    if "authorization" not in request.headers:
        raise AskError("only a command of this machine may ask that", "tunewell watch", status=403)


ROUTES = [
    Route("/api/ping", ping, methods=["POST"]),
    Route("/api/link", link, methods=["POST"]),
    Route("/api/stop", stop, methods=["POST"]),
]

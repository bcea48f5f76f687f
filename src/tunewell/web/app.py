"""The addresses of the dashboard, each with what answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from tunewell.problems import InputError
from tunewell.web import asking, routes_of_many, routes_of_one, routes_of_rows, routes_of_server
from tunewell.web.access import Access
from tunewell.web.answers import AskError
from tunewell.web.events import events
from tunewell.web.gate import OPEN, Gate, RefusedError, refused
from tunewell.web.hub import Hub
from tunewell.web.root import NotHereError, Root

STATIC = Path(__file__).parent / "static"
_PAGES = ("/", "/run/{run}", "/run/{run}/{tab}", "/compare", "/models")


@dataclass(frozen=True)
class Dashboard:
    """The whole application: `asgi` answers, `hub` reads, `access` holds the keys."""

    asgi: ASGIApp
    hub: Hub
    access: Access
    inner: Starlette
    """The application behind the gate, for tests that walk its routes."""


def make(root: Path, access: Access, hosts: frozenset[str], cookie: str) -> Dashboard:
    """Return the dashboard over the runs in `root`, answering to `hosts` alone."""
    hub = Hub(Root(root))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await hub.start()
        yield
        await hub.stop()

    async def opened(request: Request) -> Response:
        """Turn a one-time link into a cookie. The page then loads itself: that request is of this very site."""
        if request.method == "HEAD":  # a preview of the link must not use it up
            return Response(status_code=200)
        session = access.open(request.query_params.get("code", ""))
        if session is None:
            why = RefusedError(
                401, "this link was used already or is too old", "run `tunewell watch` for a new one"
            )
            return refused(why, {"accept": "text/html"})
        to = request.query_params.get("run", "")
        page = f"/run/{to}" if to.isalnum() else "/"
        body = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Tunewell</title>'
            f'<meta http-equiv="refresh" content="0; url={page}"><a href="{page}">Tunewell</a></html>'
        )
        answer = Response(body, media_type="text/html")
        answer.set_cookie(cookie, session, httponly=True, samesite="strict", path="/")
        return answer

    routes = [
        Route(OPEN, opened),
        *routes_of_many.ROUTES,
        *routes_of_one.ROUTES,
        *routes_of_rows.ROUTES,
        *asking.ROUTES,
        *routes_of_server.ROUTES,
        Route("/api/events", events),
        *(Route(path, page) for path in _PAGES),
        Mount("/static", Static(directory=STATIC, check_dir=False)),
    ]
    told = {
        AskError: _told_ask, NotHereError: _told_missing, InputError: _told_input, HTTPException: _told_http,
        RefusedError: _told_refusal, Exception: _told_defect,
    }  # fmt: skip
    inner = Starlette(routes=routes, lifespan=lifespan, exception_handlers=told)
    inner.state.hub = hub
    inner.state.access = access
    return Dashboard(Gate(inner, access=access, hosts=hosts, cookie=cookie), hub, access, inner)


class Static(StaticFiles):
    """The page's own files; a browser asks each time whether they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file at `path`."""
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "no-cache"
        if path.endswith((".js", ".mjs")):
            answer.headers["content-type"] = "text/javascript; charset=utf-8"
        return answer


async def page(request: Request) -> Response:
    """Return the page; what it shows depends on the address."""
    return FileResponse(STATIC / "index.html", media_type="text/html", headers={"cache-control": "no-cache"})


def _told_ask(_: Request, error: Exception) -> Response:
    assert isinstance(error, AskError)
    return error.answer()


def _told_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return refused(error, request.headers)


def _told_missing(_: Request, error: Exception) -> Response:
    return AskError("no such run", "go back to the list of runs", status=404).answer()


def _told_input(_: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)
    problem = error.problems[0]
    return AskError(problem.message, problem.fix, field=problem.field).answer()


def _told_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return AskError(error.detail.lower(), "go back to the list of runs", status=error.status_code).answer()


def _told_defect(_: Request, error: Exception) -> Response:
    what = f"the server could not answer: {type(error).__name__}"
    return AskError(what, "its terminal shows why; training is not affected", status=500).answer()

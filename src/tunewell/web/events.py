"""What is new, as it happens: each client holds a cursor and is sent what lies between it and now."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response

from tunewell.web.answers import AskError, encoded, known_id, plain
from tunewell.web.hub import Hub
from tunewell.web.news import new_points
from tunewell.web.story import moving, overview
from tunewell.web.watched import WatchedRun

MOST_TOPICS = 40
_PAUSE = 0.05
_PAUSE_PER_CLIENT = 0.002
"""Seconds that a client waits between two sendings, for each that is connected: a crowd of 500 costs the machine as much
as a client or two, and gets news each second."""
_TICK = 0.5
_OVERVIEW = 0.5
_LIST = 1.0


async def events(request: Request) -> Response:
    """Stream what is new of the topics asked for."""
    hub: Hub = request.app.state.hub
    topics = list(dict.fromkeys(one for one in request.query_params.get("topics", "").split(",") if one))
    if not 0 < len(topics) <= MOST_TOPICS:
        raise AskError(f"name 1 to {MOST_TOPICS} topics", "?topics=list,run:ID", field="topics")
    known = _cursors(request.headers.get("last-event-id") or request.query_params.get("cursor", ""))
    followed: list[_Run | _List] = []
    for topic in topics:
        if topic == "list":
            followed.append(_List(hub, known.get("list")))
        elif topic.startswith("run:"):
            run = await hub.ask(known_id(topic.removeprefix("run:")), lambda found: found)
            followed.append(_Run(hub, run, known.get(run.id)))
        else:
            raise AskError(f"there is no topic `{topic[:80]}`", "?topics=list,run:ID", field="topics")
    return EventSourceResponse(_stream(hub, followed), ping=15, sep="\n")


def _cursors(text: str) -> dict[str, str]:
    """Return the parts of a composite cursor by topic; what can't be understood counts as none."""
    return dict(part.split("=", 1) for part in text[:4_000].split(",") if part.count("=") == 1)


async def _stream(hub: Hub, followed: list[Any]) -> AsyncIterator[bytes]:
    news = asyncio.Event()
    hub.clients += 1
    for one in followed:
        one.begin(news)
    try:
        yield b": here\n\n"
        while not hub.closing.is_set():
            news.clear()
            wait: float | None = None
            for one in followed:
                async for event, body in one.news():
                    cursor = ",".join(each.cursor() for each in followed)
                    yield b"event: %b\nid: %b\ndata: %b\n\n" % (event.encode(), cursor.encode(), body)
                if one.again is not None:
                    wait = one.again if wait is None else min(wait, one.again)
            await asyncio.sleep(max(_PAUSE, _PAUSE_PER_CLIENT * hub.clients))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), wait)
        yield b"event: bye\ndata: {}\n\n"
    finally:
        hub.clients -= 1
        for one in followed:
            one.end(news)


class _Run:
    """What one client knows of one run."""

    def __init__(self, hub: Hub, run: WatchedRun, cursor: str | None) -> None:
        self._hub, self._run = hub, run
        self._generation, self._points, self._story = _numbers(cursor, run)
        self._at = run.version
        self._ticked = self._told = 0.0
        self.again: float | None = None
        """Seconds after which there is something to send although nothing more happens."""

    def begin(self, news: asyncio.Event) -> None:
        self._hub.listen(self._run, news)

    def end(self, news: asyncio.Event) -> None:
        self._hub.leave(self._run, news)

    def cursor(self) -> str:
        return f"{self._run.id}={self._generation}.{self._points}.{self._story}"

    async def news(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the events that take this client to the present."""
        run, now = self._run, time.monotonic()
        self.again = None
        generation, points, story = run.log.generation, len(run.log.columns), run.story_version
        if generation != self._generation or points < self._points:
            self._generation, self._points = generation, points
            yield "reset", encoded({"run": run.id})
        elif points > self._points:
            body = await self._shared(("points", generation, self._points, points), self._new_points)
            self._points = points
            yield "points", body
        if story != self._story:
            if now - self._told >= _OVERVIEW:
                self._told = self._ticked = now
                self._story = story
                yield "overview", await self._shared(("overview", run.version), self._overview)
            else:
                self.again = _OVERVIEW - (now - self._told)
        elif points and now - self._ticked >= _TICK and run.version != self._at:
            self._ticked, self._at = now, run.version
            yield "tick", await self._shared(("tick", run.version), self._tick)

    async def _shared(self, what: tuple[Any, ...], make: Any) -> bytes:
        """Return what is made once for all clients that stand at the same place."""
        found = self._run.kept.get(what)
        return found if found is not None else await self._hub.thread(lambda: self._kept(what, make))

    def _kept(self, what: tuple[Any, ...], make: Any) -> bytes:
        with self._run.lock:
            return self._run.keep(what, make)

    def _new_points(self) -> bytes:
        return plain({"run": self._run.id, **new_points(self._run.log, self._points)})

    def _overview(self) -> bytes:
        return encoded({"run": self._run.id, "overview": overview(self._run)})

    def _tick(self) -> bytes:
        made = self._run.overview[1] if self._run.overview else {}
        here = made.get("run", {})
        steps = self._run.log.columns["step"]
        return encoded(
            {
                "run": self._run.id,
                "step": int(steps[-1]) if steps else 0,
                **moving(self._run),
                "words": here.get("words", ""),
                "level": here.get("level", "off"),
                "paused": made.get("paused", False),
            }
        )


class _List:
    """What one client knows of the list of runs."""

    def __init__(self, hub: Hub, cursor: str | None) -> None:
        self._hub = hub
        self._version = int(cursor) if cursor is not None and cursor.isdecimal() else -1
        self._sent = 0.0
        self.again: float | None = None

    def begin(self, news: asyncio.Event) -> None:
        self._hub.listen_to_list(news)

    def end(self, news: asyncio.Event) -> None:
        self._hub.leave_list(news)

    def cursor(self) -> str:
        return f"list={self._version}"

    async def news(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the rows that changed since."""
        self.again = None
        listing, now = self._hub.listing, time.monotonic()
        if (
            self._version < 0 or self._version > listing.version
        ):  # known from before this server, or not at all
            self._version = listing.version
        if listing.version == self._version:
            return
        if now - self._sent < _LIST:
            self.again = _LIST - (now - self._sent)
            return
        self._sent = now
        rows, version = listing.since(self._version)
        gone = listing.gone_since(self._version)
        self._version = version
        yield "list", encoded({"rows": [msgspec.to_builtins(one) for one in rows], "gone": gone})


def _numbers(cursor: str | None, run: WatchedRun) -> tuple[int, int, int]:
    """Return generation, points and story of a cursor; without one a client begins at the present."""
    parts = (cursor or "").split(".")
    if len(parts) == 3 and all(part.isdecimal() and len(part) < 16 for part in parts):
        generation, points, story = (int(part) for part in parts)
        return generation, points, story
    return run.log.generation, len(run.log.columns), run.story_version

"""The outermost layer: whatever is asked passes these checks first, so a new route is closed until they pass."""

from __future__ import annotations

import html
from collections.abc import Mapping

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewell.web.access import Access

OPEN = "/open"
"""The one address that needs no key: it is where a one-time link is turned into one."""
MOST_BODY = 64 << 10
MOST_ADDRESS = 8 << 10
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT = "/report/"
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
"""A run's report holds its own scripts; in the sandbox they have no origin, so no cookie and no way to ask here."""
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_READS = {"GET", "HEAD"}


class RefusedError(Exception):
    """A request that is not answered: with which status, why, and what to do."""

    def __init__(self, status: int, error: str, fix: str) -> None:
        super().__init__(error)
        self.status, self.error, self.fix = status, error, fix


class Gate:
    """ASGI middleware around everything.

    `hosts` are the values of `Host` that are answered, such as ``127.0.0.1:7860``: a page elsewhere whose name was
    pointed at this machine sends another. `cookie` is the cookie's name.
    """

    def __init__(self, app: ASGIApp, *, access: Access, hosts: frozenset[str], cookie: str) -> None:
        self._app = app
        self._access = access
        self._hosts = hosts
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
            bounded = _bounded(receive, headers)
        except RefusedError as refusal:
            await refused(refusal, headers)(scope, receive, _with_headers(send))
            return
        await self._app(scope, bounded, _with_headers(send, scope["path"]))

    def _check(self, scope: Scope, headers: Headers) -> None:
        named = headers.getlist("host")
        host = named[0].lower() if len(named) == 1 else ""
        if host not in self._hosts:
            fix = "open the link that `tunewell watch` printed, or start it with --allow-host NAME:PORT"
            raise RefusedError(421, "this server does not answer to that name", fix)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_ADDRESS:
            raise RefusedError(414, "the address is too long", "ask for fewer things at once")
        method = scope["method"]
        if method not in _READS | {"POST"}:
            raise RefusedError(
                405, f"{method} is not understood here", "use GET to read and POST to ask for something"
            )
        if scope["path"] == OPEN and method in _READS:
            return
        by_token = self._has_token(headers)
        if not by_token and not self._has_session(headers):
            raise RefusedError(
                401, "this page needs a key", "run `tunewell watch` and open the link that it prints"
            )
        _check_origin(headers, host, changes=method == "POST", by_token=by_token)

    def _has_token(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._access.is_token(token.strip())

    def _has_session(self, headers: Headers) -> bool:
        secret = cookie_parser(headers.get("cookie", "")).get(self._cookie)
        return secret is not None and self._access.is_session(secret)


def _check_origin(headers: Headers, host: str, *, changes: bool, by_token: bool) -> None:
    """Refuse what another page makes a browser send, and anything to be done that is not plainly ours."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    other = "the request comes from another page"
    if origin is not None and origin.lower() not in {f"http://{host}", f"https://{host}"}:
        raise RefusedError(403, other, "use the dashboard's own page")
    navigates = not changes and headers.get("sec-fetch-mode") == "navigate"
    if site not in {None, "same-origin", "none"} and not navigates:
        raise RefusedError(403, other, "use the dashboard's own page")
    if not changes:
        return
    if not by_token and (origin is None or site == "none"):
        raise RefusedError(
            403, "the request does not say which page it comes from", "use the dashboard's own page"
        )
    if headers.get("x-tunewell") != "1":
        raise RefusedError(403, "the header `X-Tunewell: 1` is missing", "send it with every POST")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "the body is not JSON", "send `Content-Type: application/json`")


def _bounded(receive: Receive, headers: Headers) -> Receive:
    """Return `receive`, which refuses a body longer than any that is needed here."""
    announced = headers.get("content-length", "0")
    too_long = RefusedError(413, "the body is too long", f"send at most {MOST_BODY:,} bytes")
    if not announced.isdecimal() or int(announced[:12]) > MOST_BODY:
        raise too_long
    got = 0

    async def bounded() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > MOST_BODY:
            raise too_long
        return message

    return bounded


def _with_headers(send: Send, path: str = "") -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if path.startswith(REPORT):
                headers["content-security-policy"] = REPORT_POLICY
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sent


def refused(refusal: RefusedError, headers: Mapping[str, str]) -> Response:
    """Return the answer that tells of `refusal`: a plain page to a browser that navigates, JSON to others."""
    extra = {"www-authenticate": "Bearer"} if refusal.status == 401 else {}
    if "text/html" in headers.get("accept", ""):
        body = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Tunewell</title>'
            f"<h1>{html.escape(refusal.error)}</h1><p>{html.escape(refusal.fix)}</p></html>"
        )
        return Response(body, refusal.status, extra, "text/html")
    told = msgspec.json.encode({"error": refusal.error, "fix": refusal.fix})
    return Response(told, refusal.status, extra, "application/json")

"""The server as a process: its port, its keys, its end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from tunewell.problems import Problem, RunError
from tunewell.web.access import Access, Serving, tell, untell
from tunewell.web.app import Dashboard, make

PORT = 7860
_TRIED = 50


class _Server(uvicorn.Server):
    """Ends at once: every stream is told first, so that none holds it up."""

    dashboard: Dashboard

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of a signal."""
        self.dashboard.hub.closing.set()
        self.dashboard.hub.wake_all()
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at `port`, or, asked for none (0), at the first free one from 7860 on; raises `RunError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reason = ""
    for number in [port] if port else [*range(PORT, PORT + _TRIED), 0]:
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, number))
            listening.listen(1_024)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            continue
        listening.set_inheritable(False)
        return listening
    fix = "leave --port out and a free one is found" if port else "name another address with --host"
    raise RunError(
        Problem("run", f"the server can't listen at {host}:{port}: {reason}", field="--port", fix=fix)
    )


def allowed_hosts(host: str, port: int, also: Sequence[str] = ()) -> frozenset[str]:
    """Return the values of `Host` that are answered."""
    names = {"127.0.0.1", "localhost", "[::1]"}
    if not is_loopback(host):
        names |= {socket.gethostname(), socket.getfqdn()}
        if host not in {"0.0.0.0", "::"}:
            names.add(f"[{host}]" if ":" in host else host)
    return frozenset({f"{name.lower()}:{port}" for name in names} | {name.lower() for name in also})


def serve(
    root: Path,
    listening: socket.socket,
    *,
    host: str,
    token: str | None = None,
    also: Sequence[str] = (),
    said: object = None,
) -> None:
    """Serve the runs in `root` until a signal comes; `said` is called with the one-time code once it answers."""
    port = int(listening.getsockname()[1])
    access = Access(token)
    dashboard = make(root, access, allowed_hosts(host, port, also), cookie=f"tunewell_{port}")
    serving = Serving(
        pid=os.getpid(),
        host=host,
        port=port,
        root=str(root.resolve()),
        token=access.token,
        started=time.time(),
    )
    config = uvicorn.Config(
        dashboard.asgi,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        ws="none",
        lifespan="on",
        limit_concurrency=2_000,
        h11_max_incomplete_event_size=32 << 10,
        http="h11",
        loop="asyncio",
    )
    server = _Server(config)
    server.dashboard = dashboard
    dashboard.inner.state.stop = lambda: server.handle_exit(signal.SIGTERM, None)
    tell(serving)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        asyncio.run(_served(server, listening, serving, access, said))
    except KeyboardInterrupt:
        pass
    finally:
        with contextlib.suppress(RunError, OSError):
            untell(serving)


async def _served(
    server: _Server, listening: socket.socket, serving: Serving, access: Access, said: object
) -> None:
    if callable(said):
        asyncio.get_running_loop().call_soon(lambda: said(serving, access))
    await server.serve(sockets=[listening])

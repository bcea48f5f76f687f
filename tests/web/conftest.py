"""A real server over made-up runs, in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sites import Client, Site, ended, evaluation, started, step, write_run

from tunewell.web.access import Access, Serving
from tunewell.web.server import bind, serve


@pytest.fixture
def serve_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Return a function that serves the runs in a folder; all servers end with the test."""
    monkeypatch.setenv("TUNEWELL_STATE", str(tmp_path / "state"))
    threads: list[tuple[threading.Thread, Client]] = []

    def begin(root: Path, **more: Any) -> Site:
        up = threading.Event()
        found: list[Any] = []

        def said(serving: Serving, access: Access) -> None:
            found.extend((serving, access))
            up.set()

        listening = bind("127.0.0.1", 0)
        port = listening.getsockname()[1]
        settings = {"host": "127.0.0.1", "said": said, **more}
        thread = threading.Thread(target=serve, args=(root, listening), kwargs=settings, daemon=True)
        thread.start()
        assert up.wait(20)
        serving, access = found
        client = Client(port, access.token)
        threads.append((thread, client))
        return Site(root, serving, access, client, Client(port))

    yield begin
    for thread, client in threads:
        with contextlib.suppress(ConnectionError):  # one that the test itself has ended
            client.post("/api/stop", {})
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"


@pytest.fixture
def site(tmp_path: Path, serve_runs: Callable[..., Site]) -> Site:
    """Return a server over one finished run, `first`, of 100 updates."""
    root = tmp_path / "runs"
    steps = [step(number, 2 - number / 100) for number in range(1, 101)]
    write_run(
        root / "first",
        [started(), *steps[:50], evaluation(50), *steps[50:], evaluation(100, 0.4), ended(100)],
    )
    return serve_runs(root)

"""A server of runs as a test sees it, and a browser before it."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HOSTILE = '<img src=x onerror="window.hacked=1">'


def chromium() -> str:
    """Return the browser on this machine; without one these tests have nothing to run in."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no chromium on this machine")
    return found


@dataclass(frozen=True)
class Site:
    """A server over a folder of runs."""

    url: str
    root: Path
    token: str

    def get(self, path: str) -> Any:
        """Return the answer of the API to `path`."""
        request = urllib.request.Request(
            f"{self.url}/api{path}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def id_of(self, name: str) -> str:
        """Return the id of the run called `name`."""
        return str(next(row["id"] for row in self.get("/runs?limit=100")["runs"] if row["name"] == name))

    def log(self, name: str) -> list[dict[str, Any]]:
        """Return the whole lines of a run's log."""
        lines = (self.root / name / "log.jsonl").read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]


def until(what: Callable[[], Any], why: str, seconds: float = 120.0) -> Any:
    """Return the first true answer of `what`."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"{why}: not within {seconds:.0f} s"
        time.sleep(0.05)
    return found


def open_context(browser: Any, site: Site, **options: Any) -> Any:
    """Return a new context with the key of `site`."""
    made = browser.new_context(
        extra_http_headers={"Authorization": f"Bearer {site.token}"},
        viewport=options.pop("viewport", {"width": 1440, "height": 900}),
        **options,
    )
    made.set_default_timeout(60_000)
    return made

"""What the page's tests share: runs that were really trained, the real server, a real browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.reliability import tiny
from browsing import HOSTILE, Site, chromium, open_context, until


def _rows(path: Path, count: int, *, label: str = "good", ending: str = "") -> Path:
    tiny.write_reviews(path, count)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["label"] = label if row["label"] == "good" else row["label"]
        row["text"] += ending
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a folder of finished runs (healthy, a rate far too high, hostile texts) and the folder of their model."""
    from tunewell.training import driver

    work = tmp_path_factory.mktemp("page")
    model = tiny.make_tiny_bert(work / "tiny-bert")
    plain = _rows(work / "plain.jsonl", 400)
    hostile = _rows(work / "hostile.jsonl", 160, label=HOSTILE, ending=f" {HOSTILE}")
    asked: list[tuple[str, Path, dict[str, Any]]] = [
        ("healthy", plain, {"num_epochs": 3}),
        ("too_fast", plain, {"num_epochs": 4, "learning_rate": 0.5, "policy": "autopilot"}),
        ("hostile", hostile, {"name": f"hostile {HOSTILE}"}),
    ]
    for name, data, changes in asked:
        recipe = tiny.tiny_recipe(
            work, model, {"train": str(data)}, **{"output_dir": str(work / "runs" / name), **changes}
        )
        for _ in driver.train(recipe):
            pass
    return work / "runs", model


@pytest.fixture(scope="session")
def dashboard(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the trained runs by the real command, in a process of its own."""
    root, _ = trained
    state = tmp_path_factory.mktemp("state")
    environment = {**os.environ, "TUNEWELL_STATE": str(state)}
    command = [sys.executable, "-m", "tunewell", "watch", "--root", str(root), "--no-open"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        told = until(lambda: list(state.glob("*.json")), "the server leaves word of itself")
        serving = json.loads(told[0].read_bytes())
        yield Site(f"http://127.0.0.1:{serving['port']}", root, serving["token"])
        server.send_signal(signal.SIGTERM)
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return one real browser for a module."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Any, dashboard: Site) -> Iterator[Any]:
    """Return a browser's context that the server lets in."""
    made = open_context(browser, dashboard)
    yield made
    made.close()


@pytest.fixture
def live(dashboard: Site, trained: tuple[Path, Path], request: pytest.FixtureRequest) -> Iterator[str]:
    """Train a run that goes on for minutes, in a process of its own, and return its name."""
    root, model = trained
    name = f"live_{request.node.name}"[:60].rstrip("]").replace("[", "_")
    data = root.parent / "plain.jsonl"
    changes = {
        "model": str(model), "data.train": str(data), "data.max_length": "32", "data.validation": "0.2",
        "output_dir": str(root / name), "name": name, "num_epochs": "2000", "batch_size": "16", "device": "cpu",
        "precision": "fp32", "num_threads": "1", "self_tests": "false", "learning_rate": "0.001", "policy": "observe",
    }  # fmt: skip
    recipe = root.parent / "live.yaml"
    recipe.write_text(f"model: {model}\ndata:\n  train: {data}\n", encoding="utf-8")
    command = [sys.executable, "-m", "tunewell", "train", str(recipe)]
    for key, value in changes.items():
        command += ["--set", f"{key}={value}"]
    log = root / name / "log.jsonl"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: log.exists() and log.stat().st_size > 20_000, "the training goes on", 180)
        yield name
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)

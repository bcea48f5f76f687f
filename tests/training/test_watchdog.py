"""A run that stands still is told, with where; one that lives is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunewell.data.cache import Encoded
from tunewell.recipe import Recipe
from tunewell.records import Ended, Note
from tunewell.runs import log as logs
from tunewell.tasks._protocol import Batch
from tunewell.tasks.text_classification import TextClassification
from tunewell.training import driver, watchdog
from tunewell.training.watchdog import Watchdog, stacks


def test_a_stall_is_told_once_with_the_phase_and_the_stacks() -> None:
    told: list[str] = []
    came = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        came.set()

    dog = Watchdog(tell, patience=0.05)
    with dog.watching():
        dog.beat("evaluation")
        assert came.wait(5)
        assert dog.beat("step") >= 0.05, "the end of a stall is known, and how long it was"
        assert dog.beat("step") == 0.0
    assert len(told) == 1
    assert "in evaluation" in told[0]
    assert "test_a_stall_is_told_once" in told[0]


def test_what_took_long_before_may_take_long_again() -> None:
    told: list[str] = []
    dog = Watchdog(told.append, patience=0.02)
    dog.beat("save")
    time.sleep(0.05)
    with dog.watching():
        dog.beat("save")
        until = time.monotonic() + 0.2  # ten times what it took, and the patience, would be 0.5 s
        while time.monotonic() < until:
            time.sleep(0.01)
    assert told == []


def test_stacks_name_other_threads() -> None:
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait, name="somebody")
    thread.start()
    assert "somebody:" in stacks()
    waiting.set()
    thread.join()


def test_a_stalled_run_says_so_in_its_log_while_it_stalls(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, honest, calls = tmp_path / "run" / "log.jsonl", TextClassification.collate, 0

    def collate(task: TextClassification, encoded: Encoded, indexes: np.ndarray) -> Batch:
        nonlocal calls
        calls += 1
        if calls == 6:
            until = time.monotonic() + 10
            while time.monotonic() < until and not any(
                isinstance(record, Note) and record.topic == "stall" for record in logs.read(log)
            ):
                time.sleep(0.02)
        return honest(task, encoded, indexes)

    monkeypatch.setattr(TextClassification, "collate", collate)
    monkeypatch.setattr(watchdog, "PATIENCE", 0.3)
    *_, end = driver.train(tiny_recipe(max_steps=8))
    assert isinstance(end, Ended)
    assert end.status == "completed"
    stalls = [r.text for r in logs.read(log) if isinstance(r, Note) and r.topic == "stall"]
    assert len(stalls) == 2
    assert "nothing has moved" in stalls[0]
    assert "collate" in stalls[0]
    assert "moves again" in stalls[1]

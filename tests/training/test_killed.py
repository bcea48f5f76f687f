"""A run killed with SIGKILL at random moments, again and again, ends as the run that nothing happened to."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import measured
from tunewell.document import dump_recipe
from tunewell.recipe import Recipe
from tunewell.records import Ended, Rewound
from tunewell.runs import log as logs
from tunewell.training import driver

KILLS = 4


def digest(run: Path) -> str:
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def run_until(command: list[str], log: Path, size: int, longer: float) -> int | None:
    """Run `command` until `log` has `size` bytes and for `longer` seconds more, then kill it; return its exit code.

    None: it was killed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tunewell", *command], stderr=subprocess.PIPE, text=True
    )
    try:
        while not (log.exists() and log.stat().st_size >= size):
            try:
                return process.wait(timeout=0.005)
            except subprocess.TimeoutExpired:
                continue
        try:
            return process.wait(timeout=longer)
        except subprocess.TimeoutExpired:
            return None
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_and_resumed_until_it_is_done(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = {
        "num_epochs": 30, "save_steps": 7, "eval_steps": 30, "dropout": 0.1, "ema_decay": 0.95,
        "embeddings": "rows", "stages": [{"train": "head", "num_epochs": 3}, {"num_epochs": 27}],
    }  # fmt: skip
    *_, last = driver.train(tiny_recipe(output_dir=str(tmp_path / "whole"), **changes))
    whole_log = tmp_path / "whole" / "log.jsonl"
    (tmp_path / "recipe.yaml").write_text(
        dump_recipe(tiny_recipe(output_dir=str(tmp_path / "cut"), **changes))
    )

    rng, log = random.Random(seed), tmp_path / "cut" / "log.jsonl"
    moments = sorted(rng.uniform(0.05, 0.95) * whole_log.stat().st_size for _ in range(KILLS))
    command = ["train", "recipe.yaml"]
    for moment in moments:
        assert run_until(command, log, round(moment), rng.uniform(0, 0.03)) is None, (
            "it ended before it was killed"
        )
        command = ["resume", str(tmp_path / "cut")]
    assert run_until(command, log, sys.maxsize, 0) == 0
    assert sum(isinstance(record, Rewound) for record in logs.read(log)) >= 1
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert measured(log) == measured(whole_log)
    *_, end = logs.read(log)
    assert isinstance(end, Ended)
    assert isinstance(last, Ended)
    assert (end.status, end.best_step, end.best_value) == (last.status, last.best_step, last.best_value)

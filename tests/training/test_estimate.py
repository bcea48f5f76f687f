"""Estimates: the parts by hand, the whole against a real run, and nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunewell.recipe import Recipe
from tunewell.records import Committed
from tunewell.training import driver, memory, trial
from tunewell.training.checkpoint import Snapshot, Writing
from tunewell.training.cost import CostModel, largest_first, measure, shape
from tunewell.training.estimate import estimate
from tunewell.training.setup import prepare_run

Make = Callable[..., Recipe]


def test_a_batch_s_shape_counts_its_padding() -> None:
    lengths = np.array([3, 5, 2, 4])
    parts = [np.array([0, 1]), np.array([2])]
    assert shape(parts, lengths).tolist() == [1, 2, 2 * 5 + 2, 2 * 25 + 4]


def test_costs_are_found_again_from_a_few_batches() -> None:
    rng = np.random.default_rng(0)
    rows, length = rng.integers(1, 33, 500), rng.integers(4, 257, 500)
    shapes = np.stack([np.ones(500), np.ones(500), rows * length, rows * length**2], axis=1).astype(float)
    seconds = 0.01 + 2e-5 * shapes[:, 2] + 3e-8 * shapes[:, 3]
    done: list[int] = []

    def run(number: int) -> float:
        done.append(number)
        return float(seconds[number])

    costs = measure(shapes, run, seconds=5.0, shuffled=True)
    np.testing.assert_allclose(costs.seconds(shapes), seconds, rtol=1e-6)
    assert largest_first(shapes)[0] in done
    assert len(done) < 70


def test_no_rate_is_negative() -> None:
    shapes = np.array([[1.0, 1, 10, 100], [1, 1, 20, 400], [1, 1, 30, 900]])
    assert CostModel(shapes, np.array([3.0, 2.0, 1.0])).seconds(shapes).min() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "max_tokens_per_batch": 128,
            "gradient_accumulation_steps": 2,
            "ema_decay": 0.9,
            "embeddings": "rows",
        },
        {"stages": [{"train": "head"}, {"train": "all"}], "head_init": "fitted", "optimizer": "sgd"},
    ],
    ids=["plain", "tokens", "stages"],
)
def test_an_estimate_leaves_nothing_behind_and_the_run_as_it_would_be(
    tiny_recipe: Make, tmp_path: Path, changes: dict[str, object]
) -> None:
    recipe = tiny_recipe(num_epochs=3, **changes)
    before = sorted(tmp_path.rglob("*"))
    found = estimate(prepare_run(recipe, tmp_path), seconds=0.3)
    assert sorted(tmp_path.rglob("*")) == before
    assert found.seconds is not None
    assert found.total_seconds == pytest.approx(
        found.seconds.start + found.seconds.training + found.seconds.evaluation + found.seconds.checkpoints
    )
    assert 0.01 < found.seconds.training < 60
    assert memory.resident_bytes() * 0.8 < found.memory_bytes < found.memory_limit_bytes
    assert found.warnings == []
    committed = [r.bytes for r in driver.train(recipe, tmp_path) if isinstance(r, Committed)]
    assert found.checkpoint_bytes == pytest.approx(max(committed), rel=0.1)  # the log's tail in it grows
    assert 2 * max(committed) < found.disk_bytes < 6 * max(committed)


def test_a_model_too_large_is_told_with_settings_that_would_fit(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(batch_size=64)
    prepared = prepare_run(recipe, tmp_path)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 0)
    found = estimate(prepared, seconds=0.3)
    assert found.seconds is None
    assert found.total_seconds is None
    (warning,) = found.warnings
    assert "memory will not be enough" in warning
    assert "would fit" in warning


def test_a_disk_too_small_is_told(tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("tunewell.training.estimate.shutil.disk_usage", lambda _: usage)
    found = estimate(prepare_run(tiny_recipe(), tmp_path), seconds=0.3)
    assert any("the disk will not be enough" in warning for warning in found.warnings)


def test_a_signal_ends_it_and_leaves_nothing(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare_run(tiny_recipe(), tmp_path)
    before = sorted(tmp_path.rglob("*"))
    honest = trial.Checkpointer.write

    def write(checkpointer: trial.Checkpointer, snapshot: Snapshot) -> Writing:
        writing = honest(checkpointer, snapshot)
        os.kill(os.getpid(), signal.SIGTERM)
        return writing

    monkeypatch.setattr(trial.Checkpointer, "write", write)
    with pytest.raises(SystemExit) as ending:
        estimate(prepared, seconds=0.3)
    assert ending.value.code == 143
    assert sorted(tmp_path.rglob("*")) == before

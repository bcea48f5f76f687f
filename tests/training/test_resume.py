"""A run cut short anywhere and resumed is the run that was never cut, bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import measured, until
from tunewell.data.batches import BatchOrder
from tunewell.problems import RunError
from tunewell.recipe import Recipe
from tunewell.records import Ended, Note, Rewound
from tunewell.runs import checkpoints
from tunewell.training import driver

Make = Callable[..., Recipe]


def result_of(folder: Path) -> dict[str, bytes]:
    """Return the files that training made: the exported weights and all of the last checkpoint's tensors."""
    last = checkpoints.commits(folder / "checkpoints")[-1]
    files = {path.name: path.read_bytes() for path in last.folder.glob("*.safetensors")}
    return {**files, "result": (folder / "model" / "model.safetensors").read_bytes()}


CASES: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": 0.2},
    "average": {"ema_decay": 0.8},
    "stages": {
        "stages": [
            {"train": "head", "num_epochs": 0.5, "lr_scheduler": "constant"},
            {"train": "top 1", "num_epochs": 0.5},
            {"num_epochs": 1.0},
        ],
        "ema_decay": 0.8,
    },
    "rows in bf16": {"embeddings": "rows", "precision": "bf16"},
    "accumulation": {"batch_size": 4, "gradient_accumulation_steps": 4, "dropout": 0.1},
    "tokens": {"max_tokens_per_batch": 128, "optimizer": "adafactor"},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_cut_twice_and_resumed(tiny_recipe: Make, tmp_path: Path, changes: dict[str, Any]) -> None:
    common = {"num_epochs": 2, "save_steps": 3, "class_weights": "balanced", **changes}
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    *_, end = driver.train(tiny_recipe(output_dir=str(whole), **common), tmp_path)
    assert isinstance(end, Ended)
    until(driver.train(tiny_recipe(output_dir=str(cut), **common), tmp_path), 5)
    until(driver.resume(cut), end.step - 2)
    *_, again = driver.resume(cut)
    assert isinstance(again, Ended)
    assert (again.step, again.best_value, again.best_step) == (end.step, end.best_value, end.best_step)
    assert measured(cut / "log.jsonl") == measured(whole / "log.jsonl")
    expected, found = result_of(whole), result_of(cut)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def test_cut_before_the_first_checkpoint_begins_again(tiny_recipe: Make, tmp_path: Path) -> None:
    records = driver.train(tiny_recipe(), tmp_path)
    next(records)
    records.close()  # type: ignore[attr-defined]
    records = driver.resume(tmp_path / "run")
    *_, end = records
    assert isinstance(end, Ended)
    assert end.status == "completed"
    assert len(measured(tmp_path / "run" / "log.jsonl")) == 16 + 4


def test_cut_before_the_log_begins_again(tiny_recipe: Make, tmp_path: Path) -> None:
    records = driver.train(tiny_recipe(max_steps=2), tmp_path)
    next(records)
    records.close()  # type: ignore[attr-defined]
    (tmp_path / "run" / "log.jsonl").unlink()
    *_, end = driver.resume(tmp_path / "run")
    assert isinstance(end, Ended)
    assert end.status == "completed"


def test_another_batch_order_is_refused_unless_it_is_allowed(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(driver.train(tiny_recipe(save_steps=2), tmp_path), 4)
    monkeypatch.setattr(BatchOrder, "VERSION", BatchOrder.VERSION + 1)
    before = (tmp_path / "run" / "log.jsonl").read_bytes()
    with pytest.raises(RunError, match="batch order 1; this tunewell makes order 2"):
        next(driver.resume(tmp_path / "run"))
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == before
    records = driver.resume(tmp_path / "run", allow_changes=True)
    rewound = next(record for record in records if isinstance(record, Rewound))
    records.close()  # type: ignore[attr-defined]
    assert not rewound.exact
    assert "the batch order was 1, is 2" in rewound.detail


def test_another_fingerprint_is_said(tiny_recipe: Make, tmp_path: Path) -> None:
    until(driver.train(tiny_recipe(save_steps=2), tmp_path), 4)
    environment = tmp_path / "run" / "environment.json"
    facts = json.loads(environment.read_text())
    environment.write_text(json.dumps({**facts, "torch": "2.10.0"}))
    records = driver.resume(tmp_path / "run")
    rewound = next(record for record in records if isinstance(record, Rewound))
    records.close()  # type: ignore[attr-defined]
    assert not rewound.exact
    assert "torch was 2.10.0" in rewound.detail


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores"
)
def test_fewer_threads_are_said(tiny_recipe: Make, tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    until(driver.train(tiny_recipe(save_steps=2, num_threads=None), tmp_path), 4)
    os.sched_setaffinity(0, {min(cores)})
    try:
        records = driver.resume(tmp_path / "run")
        rewound = next(record for record in records if isinstance(record, Rewound))
        records.close()  # type: ignore[attr-defined]
    finally:
        os.sched_setaffinity(0, cores)
    assert not rewound.exact
    assert rewound.detail == f"threads was {len(cores)} and is 1 now"


@pytest.mark.parametrize("kind", ["data", "recipe"])
def test_a_change_is_refused_unless_it_is_allowed(tiny_recipe: Make, tmp_path: Path, kind: str) -> None:
    until(driver.train(tiny_recipe(save_steps=2), tmp_path), 4)
    path = tmp_path / "train.jsonl" if kind == "data" else tmp_path / "run" / "recipe.yaml"
    was, becomes = ("film", "movie") if kind == "data" else ("learning_rate: 0.002", "learning_rate: 0.001")
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes))
    before = (tmp_path / "run" / "log.jsonl").read_bytes()
    with pytest.raises(RunError, match=f"the {kind} is not what the run began with"):
        next(driver.resume(tmp_path / "run"))
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == before
    *_, end = driver.resume(tmp_path / "run", allow_changes=True)
    assert isinstance(end, Ended)
    assert end.status == "completed"


def test_a_finished_run_and_a_held_one_are_not_resumed(tiny_recipe: Make, tmp_path: Path) -> None:
    records = driver.train(tiny_recipe(max_steps=3), tmp_path)
    next(records)
    with pytest.raises(RunError, match="process"):
        next(driver.resume(tmp_path / "run"))
    list(records)
    with pytest.raises(RunError, match="nothing to resume"):
        next(driver.resume(tmp_path / "run"))


def test_a_damaged_checkpoint_is_set_aside_and_an_older_one_taken(tiny_recipe: Make, tmp_path: Path) -> None:
    until(driver.train(tiny_recipe(save_steps=2), tmp_path), 7)
    newest = checkpoints.commits(tmp_path / "run" / "checkpoints")[-1]
    weights = newest.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    records = list(driver.resume(tmp_path / "run"))
    rewound = next(record for record in records if isinstance(record, Rewound))
    assert rewound.to_step < newest.step
    told = [record.text for record in records if isinstance(record, Note) and record.topic == "checkpoint"]
    assert "SHA-256" in told[0]
    assert isinstance(records[-1], Ended)

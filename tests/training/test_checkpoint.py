"""Checkpoints: a snapshot of its moment, written aside, read back equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tunewell.problems import RunError
from tunewell.runs import checkpoints
from tunewell.training.checkpoint import Checkpointer, load, load_model_weights
from tunewell.training.state import Tensors

FACTS = {"reason": "interval", "healthy": True, "log_length": 0, "log_digest": ""}


def snapshot(value: float, average: bool = False) -> tuple[Tensors, dict[str, Any]]:
    tensors: Tensors = {"model": {"a": torch.full((3,), value), "b": torch.full((2, 2), value).T}}
    tensors["optimizer"] = {
        "a/step": torch.tensor(value),
        "a/moment": torch.full((3,), value, dtype=torch.bfloat16),
    }
    if average:
        tensors["average"] = {"a": torch.full((3,), -value)}
    return tensors, {"progress": {"step": int(value)}}


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    writer = Checkpointer(tmp_path, limit=3)
    assert writer.save(7, lambda: snapshot(7.0), b"rows", FACTS, set()) == []
    [committed] = writer.finished(wait=True)
    writer.close()
    assert (committed.commit, committed.step, committed.reason) == (0, 7, "interval")
    [commit] = checkpoints.commits(tmp_path)
    assert committed.folder == commit.folder.name
    assert committed.bytes == commit.bytes
    tensors, facts, rows = load(commit)
    expected, _ = snapshot(7.0)
    assert (facts, rows) == ({"progress": {"step": 7}}, b"rows")
    assert tensors.keys() == expected.keys()
    for kind, parts in expected.items():
        assert all(torch.equal(tensors[kind][name], tensor) for name, tensor in parts.items())
        assert all(tensors[kind][name].dtype == tensor.dtype for name, tensor in parts.items())


def test_numbers_go_on_where_they_stood(tmp_path: Path) -> None:
    for expected in (0, 1):
        writer = Checkpointer(tmp_path, limit=3)
        assert writer.next_commit == expected
        writer.save(5, lambda: snapshot(5.0), b"", FACTS, set())
        writer.close()


def test_a_second_save_waits_for_the_first_and_tells_of_it(tmp_path: Path) -> None:
    writer = Checkpointer(tmp_path, limit=2)
    told = [writer.save(step, lambda s=step: snapshot(float(s)), b"", FACTS, {0}) for step in range(5)]
    last = writer.finished(wait=True)
    writer.close()
    assert [[c.step for c in batch] for batch in [*told, last]] == [[], [0], [1], [2], [3], [4]]
    assert [c.step for c in checkpoints.commits(tmp_path)] == [0, 4]


def test_an_error_of_the_writing_thread_is_told(tmp_path: Path) -> None:
    writer = Checkpointer(tmp_path, limit=2)
    (tmp_path / "0000-step-9").mkdir()
    writer.save(1, lambda: snapshot(1.0), b"", FACTS, set())
    with pytest.raises(RunError, match="checkpoint 0 is there already"):
        writer.finished(wait=True)
    writer.close()


def test_the_average_is_what_is_exported(tmp_path: Path) -> None:
    writer = Checkpointer(tmp_path, limit=2)
    writer.save(2, lambda: snapshot(2.0, average=True), b"", FACTS, set())
    writer.finished(wait=True)
    writer.close()
    weights = load_model_weights(checkpoints.commits(tmp_path)[0])
    assert weights["a"].tolist() == [-2.0] * 3
    assert (weights["b"] == 2.0).all()

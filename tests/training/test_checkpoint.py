"""Checkpoints: a snapshot of its moment, written aside, read back equal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tunewell.problems import RunError
from tunewell.records import Committed
from tunewell.runs import checkpoints
from tunewell.training.checkpoint import FORMAT, Checkpointer, Snapshot, load, load_model_weights
from tunewell.training.state import Tensors

FACTS = {"format": FORMAT, "reason": "interval", "healthy": True, "log_length": 0, "log_digest": ""}


def snapshot(commit: int, step: int, average: bool = False) -> Snapshot:
    value = float(step)
    tensors: Tensors = {"model": {"a": torch.full((3,), value), "b": torch.full((2, 2), value).T}}
    tensors["optimizer"] = {
        "a/step": torch.tensor(value),
        "a/moment": torch.full((3,), value, dtype=torch.bfloat16),
    }
    if average:
        tensors["average"] = {"a": torch.full((3,), -value)}
    return Snapshot(commit, step, tensors, {"progress": {"step": step}}, b"rows", FACTS)


def written(writer: Checkpointer, snapshot: Snapshot) -> Committed:
    writing = writer.write(snapshot)
    assert writing.wait(10)
    assert writing.error is None
    assert writing.committed is not None
    return writing.committed


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    committed = written(Checkpointer(tmp_path, limit=3), snapshot(0, 7))
    assert (committed.commit, committed.step, committed.reason) == (0, 7, "interval")
    [commit] = checkpoints.commits(tmp_path)
    assert committed.folder == commit.folder.name
    assert committed.bytes == commit.bytes
    tensors, facts, rows = load(commit)
    expected = snapshot(0, 7).tensors
    assert (facts, rows) == ({"progress": {"step": 7}}, b"rows")
    assert tensors.keys() == expected.keys()
    for kind, parts in expected.items():
        assert all(torch.equal(tensors[kind][name], tensor) for name, tensor in parts.items())
        assert all(tensors[kind][name].dtype == tensor.dtype for name, tensor in parts.items())


def test_another_format_is_refused_in_words(tmp_path: Path) -> None:
    written(Checkpointer(tmp_path, limit=3), replace(snapshot(0, 7), facts={**FACTS, "format": FORMAT + 1}))
    with pytest.raises(RunError, match=f"in format {FORMAT + 1}, this tunewell reads {FORMAT}"):
        load(checkpoints.commits(tmp_path)[0])


def test_numbers_go_on_where_they_stood(tmp_path: Path) -> None:
    for expected in (0, 1):
        writer = Checkpointer(tmp_path, limit=3)
        assert writer.next_commit == expected
        written(writer, snapshot(writer.next_commit, 5))


def test_old_ones_are_deleted_but_never_the_first(tmp_path: Path) -> None:
    writer = Checkpointer(tmp_path, limit=2)
    assert [written(writer, snapshot(step, step)).step for step in range(5)] == [0, 1, 2, 3, 4]
    assert [c.step for c in checkpoints.commits(tmp_path)] == [0, 4]


def test_an_error_of_the_writing_thread_is_kept(tmp_path: Path) -> None:
    writer = Checkpointer(tmp_path, limit=2)
    (tmp_path / "0000-step-9").mkdir()
    writing = writer.write(snapshot(0, 1))
    assert writing.wait(10)
    assert isinstance(writing.error, RunError)
    assert "checkpoint 0 is there already" in str(writing.error)


def test_the_average_is_what_is_exported(tmp_path: Path) -> None:
    written(Checkpointer(tmp_path, limit=2), snapshot(0, 2, average=True))
    weights = load_model_weights(checkpoints.commits(tmp_path)[0])
    assert weights["a"].tolist() == [-2.0] * 3
    assert (weights["b"] == 2.0).all()

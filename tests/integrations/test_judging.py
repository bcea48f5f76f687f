"""A watched run with a policy: what people are asked, what memory allows, what a full disk does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from integrations.watched_loops import cnn, deeds_of, looks_of, train, watched
from tunewell import actions as does
from tunewell.cli import main
from tunewell.probes import memory
from tunewell.problems import Problem, RunError
from tunewell.records import Answered, Ended, Note, Proposed
from tunewell.runs import inbox
from tunewell.runs.folder import RunFolder


def test_a_person_is_asked_and_the_answer_comes_through_the_folder(tmp_path: Path) -> None:
    model = cnn()
    optimizer, watch = watched(
        model, folder=tmp_path / "runs", name="asked", on={"gradients_not_cleared": "ask clear_gradients"}
    )
    train(model, optimizer, watch, 5, clears=False)
    (asked,) = (record for record in watch.records if isinstance(record, Proposed))
    assert asked.action == does.ClearGradients()
    assert not deeds_of(watch)
    assert watch.folder is not None
    inbox.answer(RunFolder(watch.folder), watch.records, asked.id, approve=True, by="anna")
    train(model, optimizer, watch, 2, clears=False)
    watch.close()
    (answered,) = (record for record in watch.records if isinstance(record, Answered))
    assert (answered.approved, answered.by) == (True, "anna")
    assert [deed.outcome for deed in deeds_of(watch) if deed.action == does.ClearGradients()] == ["applied"]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_watched_run_is_listed_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = cnn()
    optimizer, watch = watched(model, folder="runs", name="mine")
    train(model, optimizer, watch, 3)
    watch.evaluated(1.25, {"accuracy": 0.5})
    watch.close()
    main(["runs"])
    assert "mine" in capsys.readouterr().out


def test_where_memory_is_short_nothing_is_copied_and_a_rollback_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "limit", lambda device: 1_000)
    model = cnn()
    optimizer, watch = watched(model, policy="autopilot")
    train(model, optimizer, watch, 2)
    assert watch._hands.snapshots.steps() == ()
    assert looks_of(watch)[0].memory_limit == 1_000


def test_copies_are_taken_as_often_as_they_may_cost() -> None:
    model = cnn()
    optimizer, watch = watched(model, policy="cautious")
    snapshots = watch._hands.snapshots
    train(model, optimizer, watch, 1)
    snapshots._seconds = 0.05
    assert not snapshots.is_due(99, mean_seconds=0.05), "0.05 s of 99 updates of 0.05 s is more than 1 %"
    assert snapshots.is_due(100, mean_seconds=0.05)
    for step in range(100, 800, 100):
        assert snapshots.take(step, {})
    assert snapshots.steps() == (0, 500, 600, 700), "the beginning and the newest"


def test_a_disk_that_refuses_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cnn()
    optimizer, watch = watched(model, folder=tmp_path / "runs")
    train(model, optimizer, watch, 2)

    def refuses(record: object) -> None:
        raise RunError(Problem("disk", "the disk is full"))

    monkeypatch.setattr(watch._journal._log, "append", refuses)
    train(model, optimizer, watch, 2)
    watch.close()
    assert isinstance(watch.records[-1], Ended)
    assert any(record.topic == "disk" for record in watch.records if isinstance(record, Note))


def test_half_precision_and_weights_elsewhere_than_in_one_place_are_measured() -> None:
    torch.manual_seed(0)
    model = cnn().to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    _, watch = watched(model, optimizer)
    loss = model(torch.rand(4, 1, 8, 8, dtype=torch.bfloat16)).float().logsumexp(1).mean()
    watch.loss(loss).backward()
    optimizer.step()
    watch.close()
    assert math.isfinite(looks_of(watch)[0].input_std or math.nan)

"""A watched run with a policy: what people are asked, what memory allows, what a full disk does."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest
import torch

from integrations.watched_loops import cnn, deeds_of, looks_of, train, watched
from tunewell import actions as does
from tunewell.cli import main
from tunewell.probes import memory
from tunewell.problems import Problem, RunError
from tunewell.records import Answered, Ended, Note, Proposed, Record, Step
from tunewell.runs import inbox
from tunewell.runs import log as logs
from tunewell.runs.control import is_paused
from tunewell.runs.folder import RunFolder
from tunewell.runs.requests import requests
from tunewell.runs.tail import Tail


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


def test_what_people_ask_of_a_watched_loop_is_answered(tmp_path: Path) -> None:
    model = cnn()
    optimizer, watch = watched(model, folder=tmp_path / "runs", name="asked", policy="cautious")
    assert watch.folder is not None
    run = RunFolder(watch.folder)
    train(model, optimizer, watch, 2)
    rate = optimizer.param_groups[0]["lr"]
    asked = [
        inbox.send(run, "anna", action=action)
        for action in (
            does.SetLearningRate(rate / 4),
            does.SetLearningRate(math.nan),
            does.SaveNow(),
            does.ExcludeRows([1]),
            does.Rollback(commit=1),
            does.Rollback(commit=9),
            does.Resume(),
        )
    ]
    train(model, optimizer, watch, 1)
    undo = inbox.send(run, "anna", undo=asked[0].id)
    nothing = inbox.send(run, "anna", undo="x")
    nobody = inbox.send(run, "anna", answer=inbox.Reply(proposal=4, approve=True))
    with run.inbox.open("ab") as file:
        file.write(b'{"id": "z", "by": "eve", "undo": 5}\n??\n')
    train(model, optimizer, watch, 1)
    late = inbox.send(run, "anna", action=does.Stop())
    watch.close()
    known = {one.id: one for one in requests(list(watch.records), inbox.read_all(run))}
    assert [known[one.id].state for one in asked] == [
        "applied", "refused", "refused", "refused", "applied", "refused", "refused",
    ]  # fmt: skip
    assert "and so the rest of the schedule" in known[asked[0].id].detail
    assert known[asked[0].id].undone_by == undo.id
    assert "can't be nan" in known[asked[1].id].why
    assert known[asked[2].id].why == "somebody else's loop can't do that"
    assert "watch.batches(order)" in known[asked[3].id].why
    assert "there is no checkpoint 9" in known[asked[5].id].why
    assert known[undo.id].state == "applied"
    assert "no such request" in known[nothing.id].why
    assert known[nobody.id].why == "the run does not ask 4, or it was answered"
    assert known["z"].state == "refused"
    assert known[late.id].why.startswith("the run is ending")
    steps = [record for record in watch.records if isinstance(record, Step)]
    assert [step.learning_rate for step in steps] == pytest.approx([rate, rate, rate, rate / 4])
    assert list(logs.read(run.log))[-1] == watch.records[-1]


def test_a_watched_loop_waits_in_a_pause_and_trains_as_if_it_had_not(tmp_path: Path) -> None:
    def weights(*, paused: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = cnn()
        optimizer, watch = watched(model, folder=tmp_path / f"runs-{paused}", name="mine")
        assert watch.folder is not None
        run = RunFolder(watch.folder)
        train(model, optimizer, watch, 2)
        person = threading.Thread(target=resumes, args=(run,), daemon=True)
        if paused:
            inbox.send(run, "anna", action=does.Pause())
            person.start()
        train(model, optimizer, watch, 3)
        if paused:
            person.join(60)
            assert not person.is_alive()
            assert [deed.outcome for deed in deeds_of(watch)] == ["applied", "applied"]
        watch.close()
        return [parameter.detach().clone() for parameter in model.parameters()]

    def resumes(run: RunFolder) -> None:
        tail, seen = Tail(run.log), list[Record]()
        while not is_paused(seen):
            seen += tail.read()
        inbox.send(run, "anna", action=does.Resume())

    pairs = zip(weights(paused=True), weights(paused=False), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


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

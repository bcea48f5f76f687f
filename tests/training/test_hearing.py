"""What people ask of a real run of a tiny model while it trains, and what they are answered."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from conftest import measured
from tunewell import actions as does
from tunewell.actions import Action
from tunewell.recipe import Recipe
from tunewell.records import Acted, Committed, Ended, Eval, Note, Record, Refused, Requested, Rewound, Step
from tunewell.runs import checkpoints, inbox
from tunewell.runs import log as logs
from tunewell.runs.control import is_paused
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Label, Request
from tunewell.runs.requests import Asked, requests
from tunewell.runs.tail import Tail
from tunewell.training import driver

Make = Callable[..., Recipe]
R = TypeVar("R", bound=Record)
SECONDS = 60.0
"""A person of these tests waits at most this long for an answer."""


def of(records: list[Record], kind: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


def is_step(number: int) -> Callable[[Record], bool]:
    return lambda record: isinstance(record, Step) and record.step == number


class Person:
    """Asks things of a run from another thread, each once the one before is answered."""

    def __init__(self, run: RunFolder) -> None:
        self.run, self.tail, self.records = run, Tail(run.log), list[Record]()
        self.sent: list[Request] = []

    def asks(self, *wishes: Action | Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=lambda: [self.ask(wish) for wish in wishes], daemon=True)
        thread.start()
        return thread

    def ask(self, wish: Action | Callable[[], object], **fields: Any) -> Asked | None:
        if not isinstance(wish, msgspec.Struct):
            wish()
            return None
        self.sent.append(inbox.send(self.run, "anna", action=wish, **fields))  # type: ignore[arg-type]
        return self.answer(self.sent[-1])

    def answer(self, request: Request) -> Asked:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            self.records += self.tail.read()
            asked = next(one for one in requests(self.records, [request]) if one.id == request.id)
            if asked.state in ("applied", "refused"):
                return asked
            time.sleep(0.02)
        raise AssertionError(f"{request} was not answered")


@contextlib.contextmanager
def asked_at(
    records: Iterator[Record], where: Callable[[Record], bool], run: Path, *wishes: Any
) -> Iterator[list[Record]]:
    """Run to the end; at the first record that `where` names a person begins to ask `wishes`. Yields all records."""
    person, thread, seen = Person(RunFolder(run)), None, []
    for record in records:
        seen.append(record)
        if thread is None and where(record):
            inbox.send(
                person.run, "anna", action=wishes[0]
            )  # before the next boundary, whatever the thread does
            person.sent = inbox.read_all(person.run)[-1:]

            def go_on() -> None:
                person.answer(person.sent[-1])
                for wish in wishes[1:]:
                    person.ask(wish)

            thread = threading.Thread(target=go_on, daemon=True)
            thread.start()
    assert thread is not None
    thread.join(SECONDS)
    assert not thread.is_alive()
    yield seen


def told(run: Path) -> list[Asked]:
    return requests(list(logs.read(run / "log.jsonl")), inbox.read_all(RunFolder(run)))


def steps_kept(run: Path) -> list[tuple[int, str, bool]]:
    return [
        (one.step, str(one.facts["reason"]), one.healthy) for one in checkpoints.commits(run / "checkpoints")
    ]


@pytest.mark.parametrize("at", [3, 7, 14], ids=["between", "before an evaluation", "after the last update"])
def test_a_pause_changes_nothing_of_what_a_run_comes_to(tiny_recipe: Make, tmp_path: Path, at: int) -> None:
    changes: dict[str, Any] = {"dropout": 0.1, "save_steps": 2, "save_total_limit": 3, "ema_decay": 0.9}
    list(driver.train(tiny_recipe({"test": 0.1}, output_dir=str(tmp_path / "whole"), **changes)))
    running = driver.train(tiny_recipe({"test": 0.1}, **changes))
    with asked_at(running, is_step(at), tmp_path / "run", does.Pause(), does.Resume()) as records:
        pause, resume = of(records, Acted)
    assert (pause.outcome, pause.step, pause.undo, resume.outcome) == (
        "applied",
        at,
        does.Resume(),
        "applied",
    )
    assert [one.reason for one in of(records, Committed)].count("pause") == 1
    assert of(records, Ended)[0].status == "completed"
    assert measured(tmp_path / "run" / "log.jsonl") == measured(tmp_path / "whole" / "log.jsonl")
    assert steps_kept(tmp_path / "run") == steps_kept(tmp_path / "whole")
    one, other = ((tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("run", "whole"))
    assert one == other


def test_a_run_answers_while_it_stands_paused(tiny_recipe: Make, tmp_path: Path) -> None:
    wishes = [
        does.Pause(),
        does.Pause(),
        does.SaveNow(),
        does.EvaluateNow(),
        does.SetLearningRate(1e-4),
        does.SetLearningRate(math.nan),
        does.Rollback(commit=1),
        does.Rollback(commit=77),
        does.ExcludeRows([0, 1]),
        does.Resume(),
    ]
    running = driver.train(tiny_recipe(save_steps=2, save_total_limit=20, lr_scheduler="cosine"))
    with asked_at(running, is_step(5), tmp_path / "run", *wishes) as records:
        answers = [(one.state, one.what) for one in told(tmp_path / "run")]
    assert [state for state, _ in answers] == [
        "applied", "refused", "applied", "applied", "applied", "refused", "applied", "refused", "applied", "applied",
    ]  # fmt: skip
    paused, again, _, _, rate, none, back, unknown, out, _ = told(tmp_path / "run")
    assert paused.detail == "training waits after step 5, which is saved"
    assert again.why == "it is paused already, since step 5; resume it"
    assert rate.detail.startswith("learning rate 0.00")
    assert rate.detail.endswith("→ 0.0001; the cosine goes on from there in proportion")
    assert "can't be nan" in none.why
    assert back.detail.startswith("step 5 → 2")
    assert unknown.why.startswith("there is no checkpoint 77")
    assert "there are 0 (step 0), 1 (step 2)" in unknown.why
    assert out.detail.startswith("2 rows left out")
    taken = of(records, Requested)
    assert [type(one.action) for one in taken][:2] == [does.Pause, does.SaveNow]
    assert [one.step for one in of(records, Eval)].count(5) == 1
    assert "action" in [one.reason for one in of(records, Committed)]
    [rewound] = of(records, Rewound)
    assert (rewound.to_step, rewound.commit) == (2, 1)
    place = records.index(rewound)
    assert next(record.step for record in records[place:] if isinstance(record, Step)) == 3
    assert of(records, Step)[-1].step == 16


def test_what_is_asked_is_taken_back(tiny_recipe: Make, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    before: list[float] = []
    sent: dict[str, str] = {}

    def undo(name: str) -> None:
        sent[f"undo {name}"] = inbox.send(run, "ben", undo=sent.get(name, name)).id

    def ask(name: str, action: Action) -> None:
        sent[name] = inbox.send(run, "anna", action=action).id

    for record in driver.train(
        tiny_recipe(save_steps=1, save_total_limit=20, lr_scheduler="constant", warmup_ratio=0)
    ):
        if isinstance(record, Step):
            before.append(record.learning_rate)
        if is_step(3)(record) and not sent:
            ask("rate", does.SetLearningRate(5e-4))
            ask("rows", does.ExcludeRows(_training_rows(run)[:2]))
            ask("clip", does.SetMaxGradNorm(math.inf))
            ask("back", does.Rollback(commit=1))
        if is_step(4)(record):  # after the rollback
            for name in ("rate", "rows", "clip", "back", "rate", "nobody's"):
                undo(name)
            ask("save", does.SaveNow())
            undo("save")
    by_id = {one.id: one for one in told(tmp_path / "run")}
    assert [one.state for one in [*by_id.values()][:4]] == ["applied"] * 4, [
        one.why for one in by_id.values()
    ]
    assert [by_id[sent[name]].undone_by != "" for name in ("rate", "rows", "clip", "back")] == [True] * 3 + [
        False
    ]
    asked = list(by_id.values())[4:10]
    assert [one.state for one in asked] == ["applied", "applied", "applied", "refused", "refused", "refused"]
    assert asked[0].what == "take back: set the learning rate to 0.0005"
    assert (
        asked[3].why == "a rollback can't be taken back: go to checkpoint 3 (step 3), the last one before it"
    )
    assert asked[4].why == "it was taken back already"
    assert "no such request" in asked[5].why
    assert "nothing that could be taken back" in by_id[sent["undo save"]].why
    rates = {round(rate, 12) for rate in before}
    assert rates == {2e-3, 5e-4}
    assert before[-1] == pytest.approx(2e-3)


def test_the_same_request_twice_is_done_once(tiny_recipe: Make, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for record in driver.train(tiny_recipe(max_steps=6)):
        if is_step(2)(record) or is_step(4)(record):
            inbox.send(run, "anna", action=does.ScaleLearningRate(0.5), id="tab")
            inbox.send(run, "anna", action=does.ScaleLearningRate(0.5), id="tab")
    log = list(logs.read(run.log))
    assert len(of(log, Acted)) == len(of(log, Requested)) == 1


def test_nonsense_is_answered_and_a_label_is_not_for_the_run(tiny_recipe: Make, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for record in driver.train(tiny_recipe(max_steps=4)):
        if is_step(2)(record):
            inbox.send(run, "anna", label=Label(tags=["baseline"]))
            with run.inbox.open("ab") as file:
                file.write(
                    b'{"id": "x", "by": "eve", "action": {"do": "set_learning_rate", "value": 1e999}}\n??\n'
                )
    log = list(logs.read(run.log))
    [refused] = of(log, Refused)
    assert (refused.id, refused.by, refused.step) == ("x", "eve", 2)
    assert [note.topic for note in of(log, Note)].count("inbox") == 1
    assert [one.state for one in told(run.path)] == ["refused"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_in_a_pause_saves_and_ends_and_a_resume_goes_on_unpaused(
    tiny_recipe: Make, tmp_path: Path, name: str
) -> None:
    list(driver.train(tiny_recipe(output_dir=str(tmp_path / "whole"), dropout=0.1)))
    running = driver.train(tiny_recipe(dropout=0.1))
    seen: list[bool] = []

    def kill() -> None:
        seen.append(is_paused(list(logs.read(tmp_path / "run" / "log.jsonl"))))
        os.kill(os.getpid(), getattr(signal, name))

    with asked_at(running, is_step(5), tmp_path / "run", does.Pause(), kill) as records:
        [end] = of(records, Ended)
    assert seen == [True]
    assert (end.status, end.reason, end.step) == ("interrupted", name, 5)
    assert not is_paused(list(logs.read(tmp_path / "run" / "log.jsonl")))
    resumed = list(driver.resume(tmp_path / "run"))
    assert of(resumed, Ended)[0].status == "completed"
    assert not of(resumed, Acted), "the pause was answered and is not heard again"
    assert measured(tmp_path / "run" / "log.jsonl") == measured(tmp_path / "whole" / "log.jsonl")


def test_stop_ends_with_the_last_weights_evaluated_and_what_comes_later_is_refused(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    late: str = ""
    for record in driver.train(tiny_recipe({"test": 0.1})):
        if is_step(5)(record):
            stop = inbox.send(run, "anna", action=does.Stop())
        if isinstance(record, Note) and record.topic == "verdict" and not late:
            late = inbox.send(run, "anna", action=does.SaveNow()).id
    log = list(logs.read(run.log))
    assert [(one.split, one.step) for one in of(log, Eval)][2:] == [("validation", 5), ("test", 5)]
    [end] = of(log, Ended)
    assert (end.status, end.reason, end.step) == ("completed", "anna asked for it", 5)
    assert log[-1] is end
    by_id = {one.id: one for one in told(run.path)}
    assert by_id[stop.id].state == "applied"
    assert (by_id[late].state, by_id[late].why.startswith("the run is ending")) == ("refused", True)
    after = inbox.send(run, "anna", action=does.SaveNow())
    assert {one.id: one.why for one in told(run.path)}[
        after.id
    ] == "the run ended before (completed at step 5)"


@pytest.mark.parametrize("wish", [does.Pause(), does.Stop()], ids=["pause", "stop"])
def test_a_pause_and_a_stop_cut_an_evaluation_short(tiny_recipe: Make, tmp_path: Path, wish: Action) -> None:
    """Asked for as the evaluation begins; it is made again after the pause, and left out at the end."""
    list(driver.train(tiny_recipe(output_dir=str(tmp_path / "whole"), eval_steps=3, eval_batch_size=1)))
    running = driver.train(tiny_recipe(eval_steps=3, eval_batch_size=1))
    person = Person(RunFolder(tmp_path / "run"))
    threads: list[threading.Thread] = []
    counts, evaluating = person_at_work(person, threads, wish)
    records = []
    with pytest.MonkeyPatch.context() as patch:
        for record in running:
            records.append(record)
            if is_step(6)(record):
                patch.setattr("tunewell.training.evaluate._Gathered.fits", evaluating)
    for thread in threads:
        thread.join(SECONDS)
    assert counts["asked"] == 1
    rows = of(records, Eval)[0].rows
    assert counts["batches"] % rows == 3, (
        "whole evaluations, and one that was cut at its third batch of one row"
    )
    evals = [one.step for one in of(records, Eval) if one.split == "validation"]
    if isinstance(wish, does.Stop):
        assert evals[:3] == [0, 3, 6][: len(evals)]
        assert 6 not in evals[:-1]
        assert of(records, Ended)[0].step == 6
    else:
        assert measured(tmp_path / "run" / "log.jsonl") == measured(tmp_path / "whole" / "log.jsonl")


def person_at_work(
    person: Person, threads: list[threading.Thread], wish: Action
) -> tuple[dict[str, int], Any]:
    """Return counts, and an evaluation's own step that lets `person` ask `wish` at its third batch."""
    from tunewell.training import evaluate

    honest = evaluate._Gathered.fits
    counts = {"batches": 0, "asked": 0}

    def fits(self: Any, *args: Any) -> bool:
        counts["batches"] += 1
        if counts["batches"] == 3:
            counts["asked"] += 1
            inbox.send(person.run, "anna", action=wish)
            if isinstance(wish, does.Pause):
                asked = inbox.read_all(person.run)[-1]
                threads.append(
                    threading.Thread(
                        target=lambda: (person.answer(asked), person.ask(does.Resume())), daemon=True
                    )
                )
                threads[-1].start()
        return honest(self, *args)

    return counts, fits


def test_the_log_shows_an_answer_at_once(tiny_recipe: Make, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    seen: list[str] = []
    for record in driver.train(tiny_recipe(max_steps=4)):
        if is_step(2)(record):
            inbox.send(run, "anna", action=does.SetLearningRate(1e-5))
        if isinstance(record, Requested):
            seen += [one.state for one in told(run.path)]
        if is_step(3)(record):
            seen += [one.state for one in told(run.path)]
    assert seen == ["requested", "applied"], "the second, before anything else has flushed the log"


def test_excluded_rows_are_not_trained_on_and_those_that_are_not_there_are_refused(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    sent: list[Request] = []
    for record in driver.train(tiny_recipe(max_steps=8)):
        if is_step(2)(record):
            rows = _training_rows(run)
            sent += [
                inbox.send(run, "anna", action=does.ExcludeRows([10**6])),
                inbox.send(run, "anna", action=does.ExcludeRows(rows)),
                inbox.send(run, "anna", action=does.ExcludeRows(rows[:3])),
            ]
    answers = {one.id: one for one in told(run.path)}
    missing, every, some = (answers[one.id] for one in sent)
    assert "the training split has no row 1000000" in missing.why
    assert "no row would be left" in every.why
    assert some.detail == "3 rows left out from now on, 3 in all"


def _training_rows(run: RunFolder) -> list[int]:
    from tunewell.runs.row_history import read_rows

    rows = read_rows(run.rows)
    assert rows is not None
    return rows

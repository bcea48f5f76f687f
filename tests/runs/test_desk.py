"""What a run remembers of requests: each id once, what takes one back, and all of it in its checkpoints."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tunewell.actions import Action, EvaluateNow, Rollback, ScaleLearningRate, SetMaxGradNorm, Stop
from tunewell.records import Acted
from tunewell.runs import inbox
from tunewell.runs.control import Point
from tunewell.runs.desk import REMEMBERED, Desk, NothingToUndoError
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Label, Request


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def done(action: Action, undo: Action | None = None, **fields: Any) -> Acted:
    known = {"step": 9, "by": "anna", "reason": "asked for", "outcome": "applied"}
    return Acted(action=action, undo=undo, **{**known, **fields})


def asked(id: str, action: Action | None = None, undo: str | None = None) -> Request:
    return Request(id=id, by="anna", action=action, undo=undo)


def why_not(desk: Desk, id: str, points: tuple[Point, ...] = ()) -> str:
    with pytest.raises(NothingToUndoError) as refused:
        desk.taking_back(id, points)
    return str(refused.value)


def test_each_id_is_read_once_and_labels_never(run: RunFolder) -> None:
    desk = Desk(run.inbox)
    first = inbox.send(run, "anna", action=Stop(), id="a")
    inbox.send(run, "anna", action=Stop(), id="a")
    inbox.send(run, "anna", label=Label(tags=["x"]))
    assert [one.id for one in desk.waiting()] == ["a", "a"]
    assert desk.read() == ([first], [])
    inbox.send(run, "anna", action=Stop(), id="a")
    second = inbox.send(run, "anna", action=Stop(), id="b")
    assert desk.waiting() == [second]
    assert desk.waiting() == [second], "looking leaves it there"
    assert desk.read() == ([second], [])
    assert desk.waiting() == []


def test_what_it_knows_goes_through_json(run: RunFolder) -> None:
    desk = Desk(run.inbox)
    request = inbox.send(run, "anna", action=SetMaxGradNorm(1.0), id="a")
    desk.read()
    desk.note(request, done(SetMaxGradNorm(1.0), SetMaxGradNorm(math.inf)), next_commit=4)
    again = Desk(run.inbox)
    again.unpack(json.loads(json.dumps(desk.pack(), allow_nan=False)))
    assert again.taking_back("a") == SetMaxGradNorm(math.inf)
    assert again.read() == ([], [])
    again.forget()
    assert again.read() == ([request], [])


def test_what_can_t_be_taken_back_says_why(run: RunFolder) -> None:
    desk = Desk(run.inbox)
    rate = ScaleLearningRate(0.5)
    desk.note(asked("rate", rate), done(rate, ScaleLearningRate(2.0)))
    desk.note(asked("no", rate), done(rate, outcome="refused"))
    desk.note(asked("stop", Stop()), done(Stop()))
    desk.note(asked("look", EvaluateNow()), done(EvaluateNow()))
    assert desk.taking_back("rate") == ScaleLearningRate(2.0)
    desk.note(asked("undo", undo="rate"), done(ScaleLearningRate(2.0), rate))
    assert why_not(desk, "rate") == "it was taken back already"
    assert desk.taking_back("undo") == rate, "an undo can be taken back too"
    assert "it was refused" in why_not(desk, "no")
    assert "the run is ending" in why_not(desk, "stop")
    assert "changes nothing" in why_not(desk, "look")
    assert "no such request" in why_not(desk, "x")


def test_a_rollback_names_the_checkpoint_of_before_it(run: RunFolder) -> None:
    desk = Desk(run.inbox)
    desk.note(asked("a", Rollback(commit=1)), done(Rollback(commit=1)), next_commit=4)
    point = [
        Point(commit=n, step=s, name="", healthy=h) for n, s, h in [(1, 2, True), (3, 8, True), (4, 3, True)]
    ]
    assert why_not(desk, "a", tuple(point)).endswith("go to checkpoint 3 (step 8), the last one before it")
    assert why_not(desk, "a", (point[0], point[2])).endswith("no newer checkpoint of before it is left")


def test_it_does_not_grow_for_ever(run: RunFolder) -> None:
    desk = Desk(run.inbox)
    for number in range(REMEMBERED + 5):
        desk.note(asked(str(number), Stop()), done(Stop()))
    assert len(desk.pack()["known"]) == REMEMBERED

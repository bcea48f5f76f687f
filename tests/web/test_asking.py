from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sites import Answer, Site, append, ended, started, step, write_run

from tunewell.actions import Pause, SetLearningRate
from tunewell.records import Acted, Proposed, Requested
from tunewell.runs import inbox
from tunewell.runs.folder import RunFolder


@pytest.fixture
def training(tmp_path: Path, serve_runs: Callable[..., Site]) -> Site:
    """Return a server over a run that goes on."""
    root = tmp_path / "runs"
    write_run(root / "first", [started(), *map(step, range(1, 11))])
    return serve_runs(root)


def ask(site: Site, wish: Any) -> Answer:
    return site.client.post(f"/api/runs/{site.client.run_id()}/requests", wish)


def sent(site: Site) -> list[inbox.Request]:
    return inbox.read_all(RunFolder(site.root / "first"))


def test_a_request_goes_into_the_inbox_and_is_followed(training: Site) -> None:
    answer = ask(training, {"id": "one", "action": {"do": "set_learning_rate", "value": 1e-5}})
    assert answer.status == 202
    assert answer.json["asked"]["state"] == "requested"
    (request,) = sent(training)
    assert (request.id, request.action) == ("one", SetLearningRate(1e-5))
    assert request.by
    folder = training.root / "first"
    append(
        folder, Requested(step=10, id="one", by=request.by, asked=request.time, action=SetLearningRate(1e-5))
    )
    overview = training.client.get(f"/api/runs/{training.client.run_id()}").json
    assert [one["state"] for one in overview["asked"]] == ["accepted"]
    done = Acted(
        step=11, action=SetLearningRate(1e-5), by=request.by, reason="asked", outcome="applied", detail="1e-4 → 1e-5",
        undo=SetLearningRate(1e-4), request="one",
    )  # fmt: skip
    append(folder, done)
    overview = training.client.get(f"/api/runs/{training.client.run_id()}").json
    assert [(one["state"], one["step"], one["can_undo"]) for one in overview["asked"]] == [
        ("applied", 11, True)
    ]
    assert {"kind": "request", "id": "one", "step": 11}.items() <= overview["flags"][-1].items()
    assert ask(training, {"id": "two", "undo": "one"}).status == 202


def test_the_same_request_twice_is_put_there_once(training: Site) -> None:
    first = ask(training, {"id": "one", "action": {"do": "save_now"}})
    again = ask(training, {"id": "one", "action": {"do": "stop"}})
    assert first.json == again.json
    assert len(sent(training)) == 1


def test_two_tabs_at_once(training: Site) -> None:
    answers: list[int] = []

    def press(number: int) -> None:
        answers.append(ask(training, {"id": f"id-{number % 2}", "action": {"do": "save_now"}}).status)

    tabs = [threading.Thread(target=press, args=(number,)) for number in range(8)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert answers == [202] * 8
    assert sorted(one.id for one in sent(training)) == ["id-0", "id-1"]


BAD: list[Any] = [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe",
    {}, {"id": "a"}, {"id": "", "action": {"do": "pause"}}, {"id": "a" * 300, "action": {"do": "pause"}},
    {"id": 3, "action": {"do": "pause"}}, {"id": "a", "action": {"do": "format_disk"}}, {"id": "a", "action": "pause"},
    {"id": "a", "action": {"do": "pause"}, "undo": "b"}, {"id": "a", "action": {"do": "pause"}, "path": "/etc"},
    b'{"id":"a","action":{"do":"set_learning_rate","value":NaN}}',
    b'{"id":"a","action":{"do":"set_learning_rate","value":1e999}}',
    b'{"id":"a","action":{"do":"set_learning_rate","value":Infinity}}',
    {"id": "a", "action": {"do": "set_learning_rate", "value": "NaN"}},
    {"id": "a", "action": {"do": "set_learning_rate", "value": -1}},
    {"id": "a", "action": {"do": "set_learning_rate", "value": 0}},
    {"id": "a", "action": {"do": "set_learning_rate", "value": 11}},
    {"id": "a", "action": {"do": "rollback", "commit": 99}},
    {"id": "a", "action": {"do": "exclude_rows", "rows": []}},
    {"id": "a", "action": {"do": "resume"}},
    {"id": "a", "undo": "nothing"},
    {"id": "a", "answer": {"proposal": 4, "approve": True}},
    {"id": "a", "label": {"tags": ["x" * 100]}}, {"id": "a", "label": {"tags": ["a\nb"]}},
    {"id": "a", "label": {"note": "x" * 20_000}},
    b'{"id":"a","action":' + b'{"a":' * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("wish", BAD, ids=lambda wish: repr(wish)[:60])
def test_what_makes_no_sense_is_refused_in_words(training: Site, wish: Any) -> None:
    answer = ask(training, wish)
    assert answer.status == 400, answer.body
    assert answer.json["error"]
    assert "fix" in answer.json
    assert sent(training) == []


def test_a_run_that_is_over_takes_labels_only(training: Site) -> None:
    append(training.root / "first", ended(10))
    assert ask(training, {"id": "a", "action": {"do": "pause"}}).status == 409
    assert ask(training, {"id": "b", "label": {"tags": ["<img onerror>"], "note": "kept"}}).status == 202
    overview = training.client.get(f"/api/runs/{training.client.run_id()}").json
    assert overview["run"]["tags"] == ["<img onerror>"]
    assert overview["run"]["note"] == "kept"
    assert "over" in overview["can"]["pause"]


def test_a_proposal_is_shown_and_answered_once(training: Site) -> None:
    proposed = Proposed(
        step=9, id=3, action=SetLearningRate(1e-5), by="cautious", reason="r", code="loss_spike"
    )
    append(training.root / "first", proposed)
    overview = training.client.get(f"/api/runs/{training.client.run_id()}").json
    assert [(one["id"], one["text"]) for one in overview["proposals"]] == [
        (3, "set the learning rate to 1e-05")
    ]
    assert ask(training, {"id": "a", "answer": {"proposal": 3, "approve": True}}).status == 202
    assert ask(training, {"id": "b", "answer": {"proposal": 3, "approve": False}}).status == 400


def test_a_paused_run_says_so_everywhere(training: Site) -> None:
    paused = Acted(step=10, action=Pause(), by="anna", reason="asked", outcome="applied", request="p")
    with RunFolder(training.root / "first").hold():
        append(training.root / "first", paused)
        overview = training.client.get(f"/api/runs/{training.client.run_id()}").json
    assert overview["paused"]
    assert overview["run"]["status"] == "paused"
    assert overview["can"]["resume"] is True
    assert "already" in overview["can"]["pause"]


def test_only_the_inbox_is_written(training: Site) -> None:
    folder = training.root / "first"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ask(training, {"id": "a", "action": {"do": "save_now"}})
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.pop("inbox.jsonl")
    assert after == before

"""People's requests to a run: appended by whoever asks, read once by the run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tunewell.actions import Rollback, SaveNow, ScaleLearningRate, SetLearningRate, SetMaxGradNorm
from tunewell.problems import RunError
from tunewell.records import Answered, Ended, Proposed
from tunewell.runs import inbox
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Inbox, Label, Reply


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def proposed(number: int, **fields: Any) -> Proposed:
    return Proposed(
        step=5, id=number, action=Rollback(3), by="autopilot", reason="It was.", code="loss_spike", **fields
    )


def test_each_request_is_read_once_in_order(run: RunFolder) -> None:
    box = Inbox(run.inbox)
    assert box.read() == ([], [])
    first = inbox.send(run, "anna", answer=Reply(proposal=1, approve=True))
    second = inbox.send(run, "ben", action=SaveNow())
    assert box.read() == ([first, second], [])
    assert box.read() == ([], [])
    third = inbox.send(run, "anna", action=ScaleLearningRate(0.5))
    assert first.id != third.id
    resumed = Inbox(run.inbox)
    resumed.position = box.position
    assert resumed.read() == ([third], [])


def test_a_line_half_written_waits_and_nonsense_is_passed_over(run: RunFolder) -> None:
    whole = inbox.send(run, "anna", action=SaveNow())
    line = run.inbox.read_bytes()
    run.inbox.write_bytes(b"nonsense\n" + line + line[:20])
    box = Inbox(run.inbox)
    requests, unclear = box.read()
    assert requests == [whole]
    assert len(unclear) == 1
    assert "can't be understood" in unclear[0].why
    with run.inbox.open("ab") as file:
        file.write(line[20:])
    assert box.read() == ([whole], [])


def test_an_answer_goes_to_the_only_open_proposal_or_the_named_one(run: RunFolder) -> None:
    records = [proposed(1), Answered(step=6, id=1, approved=True, by="anna"), proposed(2), proposed(3)]
    with pytest.raises(RunError, match="asks several things: 2"):
        inbox.answer(run, records, None, approve=True, by="anna")
    with pytest.raises(RunError, match="does not ask 1, or it was answered"):
        inbox.answer(run, records, 1, approve=True, by="anna")
    assert inbox.answer(run, records, 3, approve=False, by="anna").id == 3
    assert inbox.answer(run, records, None, approve=True, by="anna").id == 2, "3 has its answer, read or not"
    with pytest.raises(RunError, match="asks nothing"):
        inbox.answer(run, records, None, approve=True, by="anna")
    requests, _ = Inbox(run.inbox).read()
    assert [one.answer for one in requests] == [
        Reply(proposal=3, approve=False),
        Reply(proposal=2, approve=True),
    ]


def test_a_run_that_is_over_takes_no_answers(run: RunFolder) -> None:
    records = [proposed(1), Ended(step=9, status="completed", reason="all steps done")]
    with pytest.raises(RunError, match="nothing can be done about it"):
        inbox.answer(run, records, 1, approve=True, by="anna")


def test_numbers_that_json_lacks_arrive(run: RunFolder) -> None:
    sent = inbox.send(run, "anna", action=SetMaxGradNorm(math.inf))
    assert Inbox(run.inbox).read() == ([sent], [])
    inbox.send(run, "anna", action=SetLearningRate(math.nan))
    _, second = Inbox(run.inbox).read()[0]
    assert isinstance(second.action, SetLearningRate)
    assert math.isnan(second.action.value)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"id": "x", "by": "eve", "time": 5, "action": {"do": "format_disk"}}', "format_disk"),
        (b'{"id": "x", "by": "eve", "time": 5}', "holds none"),
        (b'{"id": "x", "by": "eve", "time": 5, "undo": "y", "action": {"do": "stop"}}', "holds 2"),
        (
            b'{"id": "x", "by": "eve", "time": 5, "action": {"do": "set_learning_rate", "value": 1e999}}',
            "range",
        ),
        (b'{"id": "x", "by": "eve", "time": 5, "undo": "' + b"y" * inbox.MOST_BYTES + b'"}', "bytes"),
    ],
)
def test_whoever_asks_nonsense_can_be_answered(run: RunFolder, line: bytes, why: str) -> None:
    run.inbox.write_bytes(line + b"\n")
    requests, (unclear,) = Inbox(run.inbox).read()
    assert requests == []
    assert why in unclear.why
    if len(line) < inbox.MOST_BYTES:
        assert (unclear.id, unclear.by, unclear.time) == ("x", "eve", 5.0)


@pytest.mark.parametrize(
    "line", [b"[1]", b'{"id": 5, "by": null, "time": "now"}', b"\xff\xfe", b'"x"', b"null"]
)
def test_nonsense_without_a_name_is_nobodys(run: RunFolder, line: bytes) -> None:
    run.inbox.write_bytes(line + b"\n")
    _, (unclear,) = Inbox(run.inbox).read()
    assert (unclear.id, unclear.by) == ("", "somebody")


def test_an_id_that_comes_twice_counts_once(run: RunFolder) -> None:
    first = inbox.send(run, "anna", action=SaveNow(), id="tab-1")
    inbox.send(run, "anna", action=SaveNow(), id="tab-1")
    other = inbox.send(run, "anna", undo="tab-1")
    assert inbox.read_all(run) == [first, other]


def test_the_newest_label_holds_for_what_it_names(run: RunFolder) -> None:
    assert inbox.label(inbox.read_all(run)) == Label(tags=[], note="")
    inbox.send(run, "anna", label=Label(tags=["a", "b"]))
    inbox.send(run, "ben", label=Label(note="the first that works"))
    inbox.send(run, "ben", label=Label(tags=["b"]))
    assert inbox.label(inbox.read_all(run)) == Label(tags=["b"], note="the first that works")

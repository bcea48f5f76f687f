"""People's requests to a run: appended by whoever asks, read once by the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunewell.actions import Rollback, SaveNow, ScaleLearningRate
from tunewell.problems import RunError
from tunewell.records import Answered, Ended, Proposed
from tunewell.runs import inbox
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Inbox, Reply


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
    requests, said = box.read()
    assert requests == [whole]
    assert len(said) == 1
    assert "can't be understood" in said[0]
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

"""What became of each request, told from inbox and log."""

from __future__ import annotations

from typing import Any

from tunewell.actions import (
    Action,
    ExcludeRows,
    IncludeRows,
    Pause,
    Resume,
    Rollback,
    SaveNow,
    SetLearningRate,
)
from tunewell.records import Acted, Answered, Ended, Proposed, Record, Refused, Requested, Rewound, Started
from tunewell.runs.inbox import Label, Reply, Request
from tunewell.runs.requests import Asked, requests


def ask(id: str, action: Action | None = None, **wish: Any) -> Request:
    return Request(id=id, by="anna", time=100.0, action=action, **wish)


def taken(id: str, action: Action, undo: str = "") -> Requested:
    return Requested(step=5, id=id, by="anna", asked=100.0, action=action, undo=undo)


def done(id: str, action: Action, **fields: Any) -> Acted:
    known = {"step": 5, "by": "anna", "reason": "asked for", "outcome": "applied", "detail": "done"}
    return Acted(action=action, request=id, **{**known, **fields})


END = Ended(step=9, status="completed", reason="all steps done")


def only(records: list[Record], *asked: Request) -> Asked:
    (one,) = requests(records, asked)
    return one


def test_a_request_goes_from_asked_to_applied() -> None:
    request = ask("a", SetLearningRate(1e-5))
    undo = SetLearningRate(2e-5)
    first = only([], request)
    assert (first.id, first.by, first.asked, first.state) == ("a", "anna", 100.0, "requested")
    assert first.what == "set the learning rate to 1e-05"
    log: list[Record] = [taken("a", request.action or SaveNow())]
    assert (only(log, request).state, only(log, request).step) == ("accepted", 5)
    log.append(done("a", SetLearningRate(1e-5), undo=undo))
    last = only(log, request)
    assert (last.state, last.detail, last.can_undo, last.undone_by) == ("applied", "done", True, "")


def test_what_was_refused_says_why() -> None:
    refused = done("a", SaveNow(), outcome="refused", detail="the disk is full")
    assert (only([refused], ask("a", SaveNow())).state, only([refused], ask("a", SaveNow())).why) == (
        "refused",
        "the disk is full",
    )
    nothing = Refused(step=5, id="u", by="anna", asked=100.0, reason="there is no request x")
    one = only([nothing], ask("u", undo="x"))
    assert (one.state, one.why, one.what) == (
        "refused",
        "there is no request x",
        "take back an earlier request",
    )


def test_what_a_run_could_not_answer_before_it_ended_is_refused() -> None:
    one = only([END], ask("a", SaveNow()))
    assert (one.state, one.why) == ("refused", "the run ended before (completed at step 9)")
    assert only([taken("a", SaveNow()), END], ask("a", SaveNow())).state == "refused"
    cut = Ended(step=9, status="interrupted", reason="SIGTERM")
    assert only([cut], ask("a", SaveNow())).state == "requested", "a resume takes it up"
    went_on = Rewound(step=0, to_step=5, commit=1, reason="resume")
    assert only([END, went_on], ask("a", SaveNow())).state == "requested"
    watched = Started(
        run="x", recipe_hash="", data_hash="", fingerprint={}, total_steps=9, batches_per_epoch=3, num_rows={},
        trainable_parameters=1, total_parameters=1,
    )  # fmt: skip
    assert only([watched, cut], ask("a", SaveNow())).state == "refused", "nobody resumes another's loop"


def test_an_undo_is_told_of_both() -> None:
    rows = ExcludeRows([3])
    log = [
        taken("a", rows),
        done("a", rows, undo=IncludeRows([3])),
        taken("b", IncludeRows([3]), undo="a"),
        done("b", IncludeRows([3]), undo=rows),
    ]
    first, second = requests(log, [ask("a", rows), ask("b", undo="a")])
    assert (first.undone_by, first.can_undo) == ("b", False)
    assert (second.what, second.state, second.can_undo) == (
        "take back: exclude 1 row from training",
        "applied",
        True,
    )


def test_a_rollback_and_a_pause_that_is_over_can_t_be_taken_back() -> None:
    back = done("a", Rollback(commit=3), undo=SetLearningRate(1.0))
    assert not only([back], ask("a", Rollback(commit=3))).can_undo
    pause = done("p", Pause(), undo=Resume())
    assert only([pause], ask("p", Pause())).can_undo
    went_on = done("r", Resume())
    assert not requests([pause, went_on], [ask("p", Pause())])[0].can_undo
    assert not only([back, END], ask("a", Rollback(commit=3))).can_undo


def test_answers_to_proposals_are_requests_too_and_labels_are_not() -> None:
    proposed = Proposed(step=4, id=2, action=Rollback(3), by="autopilot", reason="It was.", code="loss_spike")
    answer = ask("a", answer=Reply(proposal=2, approve=True))
    asked = [ask("l", label=Label(tags=["x"])), answer]
    (one,) = requests([proposed], asked)
    assert one.what == "approve proposal 2, to roll back to the last healthy checkpoint before step 3"
    assert one.state == "requested"
    answered = Answered(step=5, id=2, approved=True, by="anna", request="a")
    assert requests([proposed, answered], asked)[0].state == "applied"


def test_an_id_that_came_twice_is_told_once_and_an_inbox_that_is_gone_does_not_hide_what_was_done() -> None:
    log = [
        taken("a", SaveNow()),
        done("a", SaveNow()),
        Refused(step=6, id="u", by="eve", asked=1.0, reason="no"),
    ]
    told = requests(log, [ask("a", SaveNow()), ask("a", SaveNow())])
    assert [(one.id, one.state) for one in told] == [("a", "applied"), ("u", "refused")]
    assert requests(log, []) == told

"""Bounds of what people may ask: the same for page, terminal and run; each refusal says what is possible."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tunewell.actions import (
    Action,
    EvaluateNow,
    ExcludeRows,
    IncludeRows,
    Pause,
    Resume,
    Rollback,
    SaveNow,
    ScaleLearningRate,
    SetLearningRate,
    SetMaxGradNorm,
    Stop,
)
from tunewell.records import Acted, Ended, Record, Rewound, Started, Step
from tunewell.runs import checkpoints, control
from tunewell.runs.control import Facts, Point, check, check_label, controls
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Label
from tunewell.runs.row_history import RowHistory

FACTS = Facts(
    step=600,
    learning_rate=2e-5,
    points=(
        Point(commit=0, step=0, name="0000-step-0", healthy=True),
        Point(commit=3, step=500, name="0003-step-500", healthy=True),
        Point(commit=4, step=550, name="0004-step-550", healthy=False),
    ),
    rows=range(10),
    excluded=frozenset({7}),
)


@pytest.mark.parametrize(
    "action",
    [
        SetLearningRate(1e-5),
        SetLearningRate(10.0),
        ScaleLearningRate(0.5),
        SetMaxGradNorm(1.0),
        SetMaxGradNorm(math.inf),
        Rollback(600),
        Rollback(1),
        Rollback(commit=3, learning_rate_factor=0.5),
        ExcludeRows([1, 7]),
        IncludeRows([7, 8]),
        Pause(),
        SaveNow(),
        EvaluateNow(),
        Stop(),
    ],
)
def test_what_is_possible_is_let_through(action: Action) -> None:
    assert check(action, FACTS) is None


@pytest.mark.parametrize(
    ("action", "what", "fix"),
    [
        (SetLearningRate(math.nan), "can't be nan", "up to 10; it is 2e-05 now"),
        (SetLearningRate(math.inf), "can't be inf", "up to 10"),
        (SetLearningRate(-1.0), "can't be -1", "above 0"),
        (SetLearningRate(0.0), "can't be 0", "above 0"),
        (SetLearningRate(50.0), "can't be 50", "up to 10"),
        (ScaleLearningRate(1e9), "can't be multiplied by 1e+09", "up to 10"),
        (ScaleLearningRate(-0.5), "can't be multiplied by -0.5", "above 0"),
        (SetMaxGradNorm(0.0), "can't be clipped at 0", "`inf`"),
        (SetMaxGradNorm(math.nan), "can't be clipped at nan", "`inf`"),
        (Rollback(commit=9), "no checkpoint 9", "there are 0 (step 0), 3 (step 500)"),
        (Rollback(commit=4), "a fault was open", "there are 0 (step 0), 3 (step 500)"),
        (Rollback(), "no healthy checkpoint before step 0", "there are"),
        (Rollback(600, math.nan), "multiplied by nan", "such as 0.5"),
        (ExcludeRows([]), "no row is named", "give row ids"),
        (ExcludeRows([3, 10, 11]), "no rows 10, 11", "tunewell review"),
        (ExcludeRows([7]), "excluded already", "excluded are 7"),
        (ExcludeRows(list(range(10))), "no row would be left", "leave some in"),
        (IncludeRows([3]), "none of these rows is excluded", "excluded are 7"),
        (Resume(), "it is not paused", ""),
    ],
)
def test_what_is_not_possible_is_refused_with_what_is(action: Action, what: str, fix: str) -> None:
    problem = check(action, FACTS)
    assert problem is not None
    assert what in problem.message
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("action", "changes", "what"),
    [
        (Pause(), {"paused": True}, "paused already, since step 600"),
        (EvaluateNow(), {"has_validation": False}, "no validation rows"),
        (SaveNow(), {"over": "the run is over (completed)"}, "is over"),
        (Rollback(600), {"points": ()}, "no healthy checkpoint"),
    ],
)
def test_what_the_run_itself_forbids(action: Action, changes: dict[str, Any], what: str) -> None:
    facts = Facts(**{"step": 600, **changes})
    problem = check(action, facts)
    assert problem is not None
    assert what in problem.message


def test_where_little_is_known_the_run_has_the_last_word() -> None:
    assert check(ExcludeRows([10**9]), Facts()) is None
    assert check(ScaleLearningRate(2.0), Facts()) is None
    assert check(SetLearningRate(50.0), Facts()) is not None
    assert check(SaveNow(), Facts(can=frozenset({"stop"}))) is None


@pytest.mark.parametrize(
    ("label", "what"),
    [
        (Label(tags=["x"] * 21), "at most 20 tags"),
        (Label(tags=[" "]), "is no tag"),
        (Label(tags=["\x1b[31m"]), "is no tag"),
        (Label(tags=["x" * 41]), "is no tag"),
        (Label(note="x" * 10_001), "at most 10,000 characters"),
    ],
)
def test_labels_have_bounds(label: Label, what: str) -> None:
    problem = check_label(label)
    assert problem is not None
    assert what in problem.message
    assert check_label(Label(tags=["baseline", "größer"], note="first\nsecond")) is None


def test_which_controls_work_now() -> None:
    now = controls(FACTS)
    assert {name for name, why in now.items() if not why} == set(now) - {"resume"}
    assert "resume goes on" in controls(FACTS, training=False)["lr"]
    few = controls(Facts(can=frozenset({"pause", "resume", "set_learning_rate"}), paused=True))
    assert [name for name, why in few.items() if not why] == ["resume", "lr"]
    assert few["exclude"] == "this loop can't do that"


def step(number: int) -> Step:
    return Step(
        step=number, cursor=number - 1, epoch=0.1, stage=0, loss=0.5, learning_rate=1e-4, gradient_norm=1.0,
        rows=4, tokens=40, seconds=0.1,
    )  # fmt: skip


def acted(action: Action, at: int = 5, outcome: Any = "applied") -> Acted:
    return Acted(step=at, action=action, by="anna", reason="asked for", outcome=outcome)


RESUMED = Rewound(step=0, to_step=5, commit=1, reason="resume")


@pytest.mark.parametrize(
    ("since", "paused"),
    [
        ([], True),
        ([acted(SetLearningRate(1e-5))], True),
        ([acted(Resume(), outcome="refused")], True),
        ([Rewound(step=5, to_step=2, commit=1, reason="rollback")], True),
        ([acted(Resume())], False),
        ([acted(Stop())], False),
        ([step(6)], False),
        ([RESUMED], False),
        ([Ended(step=5, status="interrupted", reason="SIGTERM")], False),
        ([acted(Resume()), step(6), acted(Pause(), 6)], True),
    ],
)
def test_a_run_is_paused_until_it_goes_on_or_its_process_is_gone(since: list[Record], paused: bool) -> None:
    assert control.is_paused([step(5), acted(Pause()), *since]) is paused


def test_the_facts_of_a_run_from_outside(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    RowHistory(run.rows, [4, 5, 6])
    for number, (at, healthy) in enumerate([(0, True), (4, False)]):
        facts = {"healthy": healthy, "reason": "interval"}
        checkpoints.write_commit(run.checkpoints, number, at, lambda folder: None, facts)
    started = Started(
        run="x", recipe_hash="r", data_hash="", fingerprint={}, total_steps=9, batches_per_epoch=3,
        num_rows={"train": 3, "validation": 1}, trainable_parameters=1, total_parameters=1,
    )  # fmt: skip
    log = [started, step(5), acted(ExcludeRows([4, 5])), acted(IncludeRows([5])), acted(Pause())]
    facts = control.read_facts(run, log)
    assert (facts.step, facts.learning_rate, facts.rows, facts.excluded) == (5, 1e-4, [4, 5, 6], {4})
    assert (facts.paused, facts.has_validation, facts.over) == (True, True, "")
    assert [(point.commit, point.step, point.healthy) for point in facts.points] == [
        (0, 0, True),
        (1, 4, False),
    ]
    over = control.read_facts(run, [*log, Ended(step=9, status="completed", reason="all steps done")])
    assert "the run is over (completed)" in over.over
    back = control.read_facts(run, [*log, Rewound(step=5, to_step=2, commit=0, reason="rollback")])
    assert back.step == 2

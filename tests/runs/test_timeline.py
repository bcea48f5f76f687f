from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tunewell.records import Committed, Ended, Eval, Finding, Note, Rewound, StageBegan, Step
from tunewell.runs.timeline import curve, timeline


def step(number, cursor=None, loss=0.5):
    return Step(
        step=number,
        cursor=number if cursor is None else cursor,
        epoch=0,
        stage=0,
        loss=loss,
        learning_rate=1e-4,
        gradient_norm=1.0,
        rows=1,
        tokens=1,
        seconds=0.1,
    )


def evaluation(number, loss=0.4, split="validation"):
    return Eval(step=number, epoch=0, split=split, loss=loss, metrics={"accuracy": 0.9}, rows=10, seconds=0.1)


def committed(commit, number):
    return Committed(commit=commit, step=number, folder="x", bytes=1, seconds=0, reason="interval")


def rewound(to_step, commit, reason="rollback"):
    return Rewound(step=0, to_step=to_step, commit=commit, reason=reason)


def finding(number):
    return Finding(step=number, monitor="m", code="loss_spike", severity="warning", summary="", meaning="")


def test_without_a_rewind_nothing_changes():
    log = [step(1), evaluation(1), finding(1), committed(1, 1), Ended(step=1, status="completed", reason="")]
    assert timeline(log) == log


def test_a_rollback_drops_measurements_and_keeps_the_story():
    spike, back = finding(3), rewound(1, 1)
    log = [
        step(1),
        committed(1, 1),
        step(2),
        step(3),
        evaluation(3),
        committed(2, 3),
        spike,
        back,
        step(2, cursor=4),
    ]
    assert timeline(log) == [step(1), committed(1, 1), spike, back, step(2, cursor=4)]


def test_rewinds_within_rewinds():
    log = [step(n) for n in range(1, 11)] + [rewound(5, 1)]
    log += (
        [step(n, 10 + n) for n in range(6, 9)]
        + [rewound(7, 2)]
        + [step(8, 30)]
        + [rewound(2, 0), step(3, 40)]
    )
    steps = [(r.step, r.cursor) for r in timeline(log) if isinstance(r, Step)]
    assert steps == [(1, 1), (2, 2), (3, 40)]


def test_what_came_after_the_commit_at_its_own_step_is_undone_too():
    stage = StageBegan(
        step=2, stage=1, name="all", trainable_parameters=1, total_parameters=1, first_step=3, last_step=9
    )
    log = [
        step(1),
        step(2),
        committed(1, 2),
        evaluation(2),
        stage,
        step(3),
        rewound(2, 1),
        evaluation(2),
        stage,
    ]
    assert timeline(log) == [step(1), step(2), committed(1, 2), rewound(2, 1), evaluation(2), stage]


def test_an_evaluation_before_the_commit_of_its_step_stays():
    log = [step(2), evaluation(2), committed(1, 2), step(3), rewound(2, 1), step(3, 4)]
    assert timeline(log) == [step(2), evaluation(2), committed(1, 2), rewound(2, 1), step(3, 4)]


def test_a_commit_whose_record_a_resume_trimmed():
    log = [step(2), evaluation(2), rewound(2, 1, "resume"), committed(1, 2), step(3)]
    assert timeline(log) == log


def test_the_end_of_a_run_that_went_on_is_no_end():
    interrupted = Ended(step=2, status="interrupted", reason="SIGTERM")
    log = [step(2), interrupted, rewound(2, 1, "resume"), step(3), Note(step=3, text="x")]
    assert interrupted not in timeline(log)
    completed = Ended(step=3, status="completed", reason="")
    assert timeline([*log, completed])[-1] == completed


@given(st.lists(st.one_of(st.just(None), st.integers(0, 20)), max_size=60))
def test_steps_of_a_timeline_are_consecutive_and_the_last_written(moves):
    log, now = [], 0
    for cursor, move in enumerate(moves, start=1):
        if move is None:
            now += 1
            log.append(step(now, cursor))
        elif move <= now:
            now = move
            log.append(rewound(move, 99))
    kept = [record for record in timeline(log) if isinstance(record, Step)]
    assert [record.step for record in kept] == list(range(1, now + 1))
    assert all(a.cursor < b.cursor for a, b in pairwise(kept))


@given(st.lists(st.one_of(st.none(), st.just("commit"), st.integers(0, 9)), max_size=60))
def test_a_chosen_commit_of_a_course_that_was_given_up_brings_it_back(moves):
    log, course, commits = [], [], []
    for cursor, move in enumerate(moves, start=1):
        if move is None:
            course = [*course, (len(course) + 1, cursor)]
            log.append(step(*course[-1]))
        elif move == "commit":
            commits.append(course)
            log.append(committed(len(commits) - 1, len(course)))
        elif move < len(commits):
            course = commits[move]
            log.append(rewound(len(course), move))
    assert [(r.step, r.cursor) for r in timeline(log) if isinstance(r, Step)] == course


def test_curve_of_steps_and_evaluations():
    log = [step(1, loss=0.9), evaluation(1), step(2, loss=0.8), evaluation(2, 0.3, "test"), finding(2)]
    assert curve(log, "loss") == [(1, 0.9), (2, 0.8)]
    assert curve(log, "max_grad_norm") == []
    assert curve(log, "loss", "validation") == [(1, 0.4)]
    assert curve(log, "accuracy", "test") == [(2, 0.9)]
    assert curve(log, "f1", "test") == []

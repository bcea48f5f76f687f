"""What a live view knows of a run, from its records alone."""

from __future__ import annotations

import math

import pytest

from tunewell.actions import Rollback, Stop
from tunewell.cli._events import event
from tunewell.cli._progress import Progress, duration, rate
from tunewell.records import Acted, Eval, Finding, Note, Record, Rewound, StageBegan, Started, Step


def started(total_steps: int = 100) -> Started:
    return Started(
        run="demo",
        recipe_hash="",
        data_hash="",
        fingerprint={},
        total_steps=total_steps,
        batches_per_epoch=50,
        num_rows={"train": 1600, "validation": 100},
        trainable_parameters=770,
        total_parameters=22_700_000,
    )


def step(number: int, loss: float = 0.5, seconds: float = 0.5) -> Step:
    return Step(
        step=number,
        cursor=number,
        epoch=number / 50,
        stage=0,
        loss=loss,
        learning_rate=1e-4,
        gradient_norm=1.0,
        rows=32,
        tokens=800,
        seconds=seconds,
    )


def evaluation(number: int, accuracy: float, best: bool = False) -> Eval:
    return Eval(
        step=number,
        epoch=1.0,
        split="validation",
        loss=0.4,
        metrics={"accuracy": accuracy},
        rows=100,
        seconds=1.0,
        best=best,
    )


def finding(number: int) -> Finding:
    return Finding(
        step=number,
        monitor="loss_spike",
        code="loss_spike",
        severity="warning",
        summary="The loss rose to 3.1.",
        meaning="One batch was odd.",
        advice=["Look at row 7."],
    )


def test_steps_give_throughput_smoothed_loss_and_the_time_left() -> None:
    progress = Progress()
    progress.take(started(), 0.0)
    assert (progress.done, progress.share, progress.seconds_left) == (0, 0.0, None)
    for number in range(1, 21):
        progress.take(
            step(number), now=10.0 + number
        )  # half a second of training, half a second of other work
    assert (progress.rows_per_second, progress.tokens_per_second) == (64.0, 1600.0)
    assert progress.smoothed == pytest.approx(0.5)
    assert progress.share == 0.2
    assert progress.seconds_left == pytest.approx(80 * 19.5 / 20)


def test_a_loss_that_is_no_number_is_shown_and_not_averaged() -> None:
    progress = Progress()
    progress.take(step(1, 0.5), 1.0)
    progress.take(step(2, math.nan), 2.0)
    assert progress.step is not None
    assert math.isnan(progress.step.loss)
    assert progress.smoothed == pytest.approx(0.5)


def test_smoothing_follows_the_loss_without_the_pull_of_its_start() -> None:
    progress = Progress()
    progress.take(step(1, 4.0), 1.0)
    assert progress.smoothed == pytest.approx(4.0)
    progress.take(step(2, 2.0), 1.0)
    assert progress.smoothed == pytest.approx((0.95 * 4 + 2) / 1.95)


def test_a_resume_goes_on_from_its_step_and_times_itself_anew() -> None:
    progress = Progress()
    for record in [started(), step(1), step(2), Rewound(step=0, to_step=1, commit=1, reason="resume")]:
        progress.take(record, 0.0)
    assert (progress.done, progress.seconds_left, progress.rows_per_second) == (1, None, 0.0)
    progress.take(step(2), 5.0)
    assert progress.seconds_left == pytest.approx(98 * 0.5)


def test_the_best_evaluation_is_kept() -> None:
    progress = Progress()
    for record in (evaluation(10, 0.8, best=True), evaluation(20, 0.7)):
        progress.take(record, 0.0)
    assert progress.best is not None
    assert progress.best.step == 10


EVENTS: list[tuple[Record, str | None]] = [
    (step(1), None),
    (
        started(),
        "demo: 100 steps, 50 an epoch; 1,600 train rows, 100 validation rows; 770 of 22.7 M parameters trained",
    ),
    (
        StageBegan(
            step=0,
            stage=0,
            name="head",
            trainable_parameters=770,
            total_parameters=22_700_000,
            first_step=0,
            last_step=50,
        ),
        "stage 1, head: to step 50, 770 of 22.7 M parameters trained",
    ),
    (evaluation(50, 0.8125, best=True), "step 50  validation: accuracy 0.812 · loss 0.4, best so far"),
    (finding(1840), "▲ step 1,840  loss_spike: The loss rose to 3.1. What to do: Look at row 7."),
    (
        Acted(
            step=5,
            action=Rollback(before=4),
            by="cautious",
            reason="loss_spike",
            outcome="applied",
            detail="step 5 → 2",
        ),
        "→ step 5  cautious: step 5 → 2; because loss_spike",
    ),
    (
        Acted(step=5, action=Stop(), by="cautious", reason="divergence", outcome="refused"),
        "→ step 5  cautious: ended training (refused); because divergence",
    ),
    (Rewound(step=9, to_step=4, commit=2, reason="rollback"), "went back from step 9 to step 4"),
    (
        Rewound(step=0, to_step=4, commit=2, reason="resume", exact=False, detail="torch 2.12 → 2.13"),
        "resumed at step 4 from checkpoint 2, approximately: torch 2.12 → 2.13",
    ),
    (Note(step=0, text="text: column `review`"), "· text: column `review`"),
    (Note(step=9, text="plateau: checked and fine", topic="verdict"), None),
]


@pytest.mark.parametrize(("record", "line"), EVENTS, ids=lambda value: type(value).__name__)
def test_each_event_is_told_in_a_line(record: Record, line: str | None) -> None:
    told = event(record)
    assert (told[0] if told else None) == line


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"), [(1e-4, "0.0001"), (3.33e-5, "3.3e-5"), (0.0, "0"), (1e-10, "1e-10")]
)
def test_learning_rates_are_short(value: float, words: str) -> None:
    assert rate(value) == words

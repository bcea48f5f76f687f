"""The record as tables."""

from __future__ import annotations

from tunewell.actions import SaveNow
from tunewell.records import Acted, Committed, Eval, Finding, Note, Record, Rewound, Step
from tunewell.runs.tables import table


def step(number: int, loss: float, **more: dict[str, float]) -> Step:
    return Step(
        step=number, cursor=number, epoch=0.1, stage=0, loss=loss, learning_rate=1e-4, gradient_norm=2.0, rows=4,
        tokens=50, seconds=0.5, **more,  # type: ignore[arg-type]
    )  # fmt: skip


LOG: list[Record] = [
    Committed(commit=0, step=0, folder="0000-step-0", bytes=1, seconds=0, reason="start"),
    step(1, 5.0),
    Rewound(step=1, to_step=0, commit=0, reason="rollback"),
    step(1, 1.0),
    step(2, 0.5, layer_gradients={"head": 0.1}),
    Eval(step=2, epoch=1, split="test", loss=0.4, metrics={"f1": 0.7}, rows=3, seconds=1, recalls={"a": 1.0}),
    Finding(step=2, monitor="m", code="plateau", severity="warning", summary="It stands.", meaning=""),
    Acted(step=2, action=SaveNow(), by="anna", reason="asked for", outcome="applied"),
    Note(step=2, text="x", topic="t"),
]


def test_steps_without_and_with_what_was_undone():
    steps = table(LOG)
    assert (steps["step"], steps["loss"]) == ([1, 2], [1.0, 0.5])
    assert steps["gradient.head"] == [None, 0.1]
    assert "given" not in steps
    assert "undone" not in steps
    whole = table(LOG, undone=True)
    assert (whole["loss"], whole["undone"]) == ([5.0, 1.0, 0.5], [True, False, False])


def test_evaluations_have_their_metrics_as_columns():
    evals = table(LOG, "evals")
    assert (evals["f1"], evals["recall.a"], evals["split"]) == ([0.7], [1.0], ["test"])


def test_events_in_words():
    events = table(LOG, "events")
    assert events["type"] == ["committed", "rewound", "finding", "acted", "note"]
    assert events["text"][2:4] == ["It stands.", "saved a checkpoint; asked for"]


def test_an_empty_log_is_an_empty_table():
    assert table([]) == {}

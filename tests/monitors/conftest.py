from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.records import Eval, Finding, Record, Started, Step


@pytest.fixture
def step() -> Callable[..., Step]:
    """Make an update of a healthy run; any field can be given."""

    def make(number: int, **fields: Any) -> Step:
        usual: dict[str, Any] = {
            "cursor": number, "epoch": number / 100, "stage": 0, "loss": 0.5, "learning_rate": 1e-4,
            "gradient_norm": 2.0, "rows": 32, "tokens": 960, "seconds": 0.2,
        }  # fmt: skip
        return Step(step=number, **(usual | fields))

    return make


@pytest.fixture
def evaluation() -> Callable[..., Eval]:
    """Make an evaluation on the validation split."""

    def make(number: int, loss: float, accuracy: float = 0.8, train_loss: float | None = 0.3) -> Eval:
        return Eval(
            step=number, epoch=number / 100, split="validation", loss=loss, metrics={"accuracy": accuracy},
            rows=800, seconds=1.0, train_loss=train_loss,
        )  # fmt: skip

    return make


@pytest.fixture
def started() -> Callable[..., Started]:
    """Make the beginning of a two-class run."""

    def make(**fields: Any) -> Started:
        usual: dict[str, Any] = {
            "run": "made-up", "recipe_hash": "", "data_hash": "", "fingerprint": {}, "total_steps": 500,
            "batches_per_epoch": 100, "num_rows": {"train": 3200}, "trainable_parameters": 1, "total_parameters": 1,
            "num_classes": 2, "class_counts": {"no": 1600, "yes": 1600},
        }  # fmt: skip
        return Started(**(usual | fields))

    return make


@pytest.fixture
def look() -> Callable[..., Inspected]:
    """Make a look inside an update; only what is given was looked at."""

    def make(number: int, **fields: Any) -> Inspected:
        return Inspected(step=number, **fields)

    return make


@pytest.fixture
def found() -> Callable[[Monitor, list[Record]], list[Finding]]:
    """Return what a monitor finds in records, Watch's discipline aside."""

    def run(monitor: Monitor, records: list[Record]) -> list[Finding]:
        state, findings = monitor.init(), []
        for record in records:
            state, new = monitor.update(state, record)
            findings += new
        return findings

    return run

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunewell.monitors import Monitor, Watch, build
from tunewell.monitors.forgetting import Forgetting
from tunewell.records import Eval, Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
KNOWN = {"a": 0.97, "b": 0.9, "c": 0.0, "d": 0.0}
ROWS = dict.fromkeys(KNOWN, 60)


@pytest.fixture
def tuned(step: Callable[..., Step], started: Callable[..., Started]) -> Callable[..., list[Record]]:
    """Make a run of ten updates between two evaluations by class."""

    def make(
        before: dict[str, float],
        after: dict[str, float],
        batch: dict[str, int],
        counts: dict[str, int] | None = None,
    ) -> list[Record]:
        rows = sum(batch.values())
        counts = batch if counts is None else counts
        return [
            started(num_classes=4, class_counts=counts, num_rows={"train": 600, "validation": 240}),
            by_class(0, before),
            *(step(number, rows=rows, label_counts=batch) for number in range(1, 11)),
            by_class(10, after),
        ]

    return make


def by_class(number: int, recalls: dict[str, float], **fields: Any) -> Eval:
    """Make an evaluation with the recall of each class."""
    accuracy = sum(recalls.values()) / len(recalls)
    usual: dict[str, Any] = {"loss": 1.0, "metrics": {"accuracy": accuracy}, "rows": 240, "class_rows": ROWS}
    return Eval(
        step=number, epoch=number / 20, split="validation", seconds=0.1, recalls=recalls, **(usual | fields)
    )


@pytest.mark.parametrize("gained", [0.9, 0.0])
def test_what_a_model_knew_before_the_first_update_is_lost(
    tuned: Callable[..., list[Record]], found: Found, gained: float
) -> None:
    after = {"a": 0.0, "b": 0.05, "c": gained, "d": 0.0}
    (one,) = found(Forgetting(), tuned(KNOWN, after, {"c": 16, "d": 16}))
    assert (one.step, one.evidence["onset"], one.evidence["classes"]) == (10, 1, ["a", "b"])


def test_an_untrained_model_knows_nothing_that_it_could_forget(
    tuned: Callable[..., list[Record]], found: Found
) -> None:
    records = tuned({"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}, dict.fromkeys(KNOWN, 0.3), {"c": 16, "d": 16})
    assert found(Forgetting(), records) == []


def test_what_is_still_taught_is_not_forgotten(tuned: Callable[..., list[Record]], found: Found) -> None:
    records = tuned(KNOWN, {"a": 0.1, "b": 0.1, "c": 0.8, "d": 0.8}, dict.fromkeys(KNOWN, 8))
    assert found(Forgetting(), records) == []


def test_a_rare_class_is_not_one_that_training_lacks(
    tuned: Callable[..., list[Record]], found: Found
) -> None:
    batch = {"b": 1, "c": 16, "d": 16}
    counts = {"a": 6, "b": 6, "c": 300, "d": 300}
    records = tuned(KNOWN, {"a": 0.0, "b": 0.05, "c": 0.9, "d": 0.9}, batch, counts)
    assert found(Forgetting(), records) == []


@pytest.mark.parametrize("code", ["vanishing_gradient", "class_imbalance", "collapse", "overfitting", "overtraining"])  # fmt: skip
def test_it_explains_what_is_seen_with_it(code: str) -> None:
    assert code in Forgetting.explains


def test_it_is_named_first_where_the_validation_loss_rises_too(tuned: Callable[..., list[Record]]) -> None:
    watch = Watch(build({}))
    records = tuned(KNOWN, {"a": 0.0, "b": 0.05, "c": 0.9, "d": 0.9}, {"c": 16, "d": 16})
    for number in range(20, 120, 10):
        after = {"a": 0.0, "b": 0.0, "c": 0.95, "d": 0.95}
        records.append(by_class(number, after, loss=1 + number / 20, train_loss=1 / number))
    told = [one for record in records for one in watch.observe(record) if one.severity != "info"]
    assert [(one.step, one.code) for one in told] == [(10, "forgetting")]

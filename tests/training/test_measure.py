"""Updates become records: what is measured is what is told, and rows that stand out are named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tunewell.training.loop import Update
from tunewell.training.measure import label_counter, to_records, worst_rows

ROWS = np.array([10, 11, 12, 13])


def test_an_ordinary_batch_names_no_row() -> None:
    assert worst_rows(np.array([0.5, 0.6, 0.7, 0.4]), ROWS, finite=True) == []


def test_a_row_that_makes_half_of_the_loss_is_named() -> None:
    assert worst_rows(np.array([0.1, 0.2, 9.0, 0.1]), ROWS, finite=True) == [(12, 9.0)]
    assert worst_rows(np.array([0.1, 9.0]), ROWS[:2], finite=True) == [], "in a batch of two one always does"


def test_rows_that_are_not_finite_are_named_before_all() -> None:
    found = worst_rows(np.array([0.1, math.nan, 99.0, math.inf]), ROWS, finite=False)
    assert [row for row, _ in found] == [11, 13]


def test_a_refused_update_names_its_worst_rows_though_their_losses_are_finite() -> None:
    losses = np.arange(8, dtype=np.float32)
    found = worst_rows(losses, np.arange(20, 28), finite=False)
    assert [row for row, _ in found] == [27, 26, 25, 24, 23]


def update(step: int, **changes: object) -> Update:
    facts: dict[str, object] = {
        "step": step, "cursor": step - 1, "epoch": 0.1234567891, "stage": 0, "learning_rate": 1e-3,
        "max_grad_norm": 1.0, "rows": np.array([2, 0, 1]), "tokens": 40, "loss": torch.tensor(0.5 * step),
        "per_row": torch.tensor([1.0, 2.0, 3.0]), "gradient_norm": torch.tensor(2.0 * step),
        "finite": torch.tensor(True), "layer_gradients": None, "layer_updates": None,
    }  # fmt: skip
    return Update(**{**facts, **changes})  # type: ignore[arg-type]


def test_many_updates_come_over_at_once_and_in_order() -> None:
    layers = {"embeddings": torch.tensor(0.1), "head": torch.tensor(0.2)}
    sick = update(
        2,
        loss=torch.tensor(torch.nan),
        finite=torch.tensor(False),
        layer_gradients=layers,
        layer_updates={"head": torch.tensor(0.3)},
    )
    steps = to_records([update(1), sick, update(3)], np.array([100, 101, 102]))
    records = [step for step, *_ in steps]
    assert [(r.step, r.gradient_norm, r.skipped) for r in records] == [
        (1, 2.0, False),
        (2, 4.0, True),
        (3, 6.0, False),
    ]
    assert [records[0].loss, records[2].loss] == [0.5, 1.5]
    assert math.isnan(records[1].loss)
    assert records[1].layer_gradients == pytest.approx({"embeddings": 0.1, "head": 0.2})
    assert records[1].layer_updates == pytest.approx({"head": 0.3})
    assert records[0].layer_gradients is None
    assert records[0].epoch == 0.123457
    assert [row for row, _ in records[1].worst_rows] == [101, 100, 102]
    assert records[1].label_counts is None
    assert steps[0][2].tolist() == [1.0, 2.0, 3.0]


def test_classes_of_a_batch_are_counted_by_name() -> None:
    counter = label_counter("single_label", np.array([2, 0, 2, 1]), ["bad", "fair", "good"])
    [(step, _, _)] = to_records([update(1)], np.array([100, 101, 102, 103]), counter)
    assert step.label_counts == {"bad": 1, "good": 2}
    assert label_counter("regression", np.array([0.5]), [])(np.array([0])) is None

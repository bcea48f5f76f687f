"""The fitted head: it solves what the frozen features offer, of every kind of problem, and moves nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tunewell.problems import ModelError
from tunewell.recipe import Recipe
from tunewell.training.evaluate import evaluate
from tunewell.training.fitted_head import _last_linear, _solve
from tunewell.training.loop import Work
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fitted_head_begins_where_others_arrive(tiny_recipe: Make, begin: Begin, precision: str) -> None:
    drawn, work = begin(tiny_recipe(precision=precision))
    fitted, _ = begin(tiny_recipe(head_init="fitted", precision=precision))
    before, after = (
        evaluate(work.task, state.model, work.encoded, 64, torch.device("cpu")) for state in (drawn, fitted)
    )
    assert after.loss < before.loss - 0.03
    assert after.metrics["accuracy"] > before.metrics["accuracy"] + 0.1
    moved = {
        name
        for name, master in fitted.weights.masters.items()
        if not torch.equal(master, drawn.weights.masters[name])
    }
    assert moved == {"classifier.weight", "classifier.bias"}
    assert all(p.grad is None and p.requires_grad for p in fitted.model.parameters())


def features(rows: int = 400) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 6)) * [1, 5, 0.1, 1, 1, 1] + [0, 3, 0, 0, 0, -1]


def test_three_classes_are_told_apart() -> None:
    inputs = features()
    targets = inputs[:, 3:].argmax(axis=1)
    weight, bias = _solve(inputs, targets, "single_label", 3)
    assert weight.shape == (3, 6)
    assert ((inputs @ weight.T + bias).argmax(axis=1) == targets).mean() > 0.75


def test_a_class_without_rows_does_not_break_it() -> None:
    inputs = features()
    targets = np.where(inputs[:, 0] > 0, 3, 1)
    weight, bias = _solve(inputs, targets, "single_label", 4)
    outputs = inputs @ weight.T + bias
    assert (outputs[:, [1, 3]].argmax(axis=1) == (targets == 3)).mean() > 0.9
    assert (outputs[:, [0, 2]] == 0).all()


def test_several_labels() -> None:
    inputs = features()
    targets = np.stack([inputs[:, 0] > 0, inputs[:, 1] > 3, np.zeros(len(inputs))], axis=1).astype(np.float32)
    weight, bias = _solve(inputs, targets, "multi_label", 3)
    chosen = inputs @ weight.T + bias > 0
    assert (chosen == (targets > 0.5))[:, :2].mean() > 0.9
    assert np.isfinite(weight).all()


def test_regression() -> None:
    inputs = features()
    targets = 2 * inputs[:, 0] - inputs[:, 1] + 4
    weight, bias = _solve(inputs, targets, "regression", 1)
    assert weight.shape == (1, 6)
    assert np.corrcoef(inputs @ weight[0] + bias[0], targets)[0, 1] > 0.99


def test_a_model_without_a_linear_head_is_refused() -> None:
    with pytest.raises(ModelError, match="no linear head"):
        _last_linear(nn.ModuleDict({"body": nn.Linear(2, 2)}))


def test_it_is_solved_on_a_sample_of_many_rows(
    tiny_recipe: Make, begin: Begin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tunewell.training.fitted_head.MOST_ROWS", 40)
    one, _ = begin(tiny_recipe(head_init="fitted"))
    same, _ = begin(tiny_recipe(head_init="fitted"))
    other, _ = begin(tiny_recipe(head_init="fitted", seed=7))
    name = "classifier.weight"
    assert torch.equal(one.weights.masters[name], same.weights.masters[name])
    assert not torch.equal(one.weights.masters[name], other.weights.masters[name])

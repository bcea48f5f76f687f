"""Evaluation: independent of batch size and order, weighted as the loss, and it leaves no trace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tunewell.recipe import Recipe
from tunewell.training.evaluate import EvaluationInterruptedError, evaluate
from tunewell.training.loop import Work
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]
CPU = torch.device("cpu")


@pytest.mark.parametrize("changes", [{}, {"class_weights": {"good": 4.0}}], ids=["plain", "class weights"])
def test_the_batch_size_changes_nothing(tiny_recipe: Make, begin: Begin, changes: dict[str, object]) -> None:
    state, work = begin(tiny_recipe(**changes))
    whole = evaluate(work.task, state.model, work.encoded, 1000, CPU)
    parts = evaluate(work.task, state.model, work.encoded, 7, CPU)
    assert parts.loss == pytest.approx(whole.loss, abs=1e-6)
    np.testing.assert_allclose(parts.outputs, whole.outputs, atol=1e-5)
    assert parts.targets.tolist() == list(work.encoded.targets)
    weights = np.where(parts.targets == 1, 4.0 if changes else 1.0, 1.0)
    shifted = whole.outputs - whole.outputs.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    per_row = -log_shares[np.arange(len(weights)), parts.targets]
    assert whole.loss == pytest.approx(float((per_row * weights).sum() / weights.sum()), abs=1e-5)


def test_dropout_rests_meanwhile_and_the_mode_comes_back(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe(dropout=0.5))
    assert state.model.training
    one = evaluate(work.task, state.model, work.encoded, 16, CPU)
    two = evaluate(work.task, state.model, work.encoded, 16, CPU)
    assert np.array_equal(one.outputs, two.outputs)
    assert state.model.training
    assert all(parameter.grad is None for parameter in state.model.parameters())


def test_a_signal_between_two_batches_ends_it(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe())
    calls = iter([False, False, True])
    with pytest.raises(EvaluationInterruptedError):
        evaluate(work.task, state.model, work.encoded, 16, CPU, lambda: next(calls))
    assert state.model.training

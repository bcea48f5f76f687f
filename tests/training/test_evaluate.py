"""Evaluation: independent of batch size and order, weighted as the loss, sparing with memory; it leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tunewell.data.cache import Encoded
from tunewell.recipe import Recipe
from tunewell.tasks.text_classification import TextClassification
from tunewell.training.evaluate import EvaluationInterruptedError, Outcome, evaluate
from tunewell.training.loop import Work
from tunewell.training.memory import peak_bytes, release, reset_peak, resident_bytes
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]
CPU = torch.device("cpu")


def assert_same(one: Outcome, two: Outcome) -> None:
    """Assert that two evaluations found the same, to the last bit."""
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(two, name)), name


@pytest.mark.parametrize("changes", [{}, {"class_weights": {"good": 4.0}}], ids=["plain", "class weights"])
def test_the_batch_size_changes_nothing(tiny_recipe: Make, begin: Begin, changes: dict[str, object]) -> None:
    state, work = begin(tiny_recipe(**changes))
    whole = evaluate(work.task, state.model, work.encoded, 1000, CPU)
    parts = evaluate(work.task, state.model, work.encoded, 7, CPU)
    assert parts.loss == pytest.approx(whole.loss, abs=1e-6)
    np.testing.assert_allclose(parts.row_losses, whole.row_losses, atol=1e-5)
    np.testing.assert_allclose(parts.confidence, whole.confidence, atol=1e-5)
    assert parts.targets.tolist() == list(work.encoded.targets)
    assert parts.metrics == whole.metrics
    weights = np.where(parts.targets == 1, 4.0 if changes else 1.0, 1.0)
    assert whole.loss == pytest.approx(float(np.average(whole.row_losses, weights=weights)), abs=1e-7)
    # of two classes: a row's loss is the log of the predicted one's probability where it is right
    right = whole.predicted == whole.targets
    assert whole.confidence is not None
    shares = np.where(right, whole.confidence, 1 - whole.confidence)
    np.testing.assert_allclose(whole.row_losses, -np.log(shares), atol=1e-4)


def test_dropout_rests_meanwhile_and_the_mode_comes_back(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe(dropout=0.5))
    assert state.model.training
    one = evaluate(work.task, state.model, work.encoded, 16, CPU)
    two = evaluate(work.task, state.model, work.encoded, 16, CPU)
    assert_same(one, two)
    assert state.model.training
    assert all(parameter.grad is None for parameter in state.model.parameters())


def test_a_signal_between_two_batches_ends_it(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe())
    calls = iter([False, False, True])
    with pytest.raises(EvaluationInterruptedError):
        evaluate(work.task, state.model, work.encoded, 16, CPU, lambda: next(calls))
    assert state.model.training


def allow(state: TrainState, rows: int) -> list[int]:
    """Let the model ask for more memory than there is when more than `rows` come; return the sizes that came."""
    seen: list[int] = []

    def ask(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, torch.Tensor]) -> None:
        seen.append(len(kwargs["input_ids"]))
        if seen[-1] > rows:
            torch.empty(10**15)

    state.model.register_forward_pre_hook(ask, with_kwargs=True)
    return seen


def test_what_memory_does_not_allow_is_halved_and_nothing_done_twice(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe())
    whole = evaluate(work.task, state.model, work.encoded, 128, CPU)
    seen = allow(state, rows=20)
    spared = evaluate(work.task, state.model, work.encoded, 128, CPU)
    assert seen == [128, 64, 32, *[16] * 8]
    assert (spared.batch_size, whole.batch_size) == (16, 128)
    sixteen = evaluate(work.task, state.model, work.encoded, 16, CPU)
    assert_same(spared, sixteen)
    assert spared.metrics == whole.metrics


def test_one_row_too_many_is_an_error(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe())
    seen = allow(state, rows=0)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        evaluate(work.task, state.model, work.encoded, 8, CPU)
    assert seen == [8, 4, 2, 1]
    assert state.model.training


def test_other_errors_are_not_taken_for_a_lack_of_memory(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe())
    state.model.register_forward_pre_hook(lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        evaluate(work.task, state.model, work.encoded, 8, CPU)


class OneOfMany(nn.Module):
    """Says a class that hangs on the row's first token only."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> Any:
        logits = nn.functional.one_hot(input_ids[:, 0] % self.classes, self.classes).float()
        return SimpleNamespace(logits=logits)


def test_memory_does_not_grow_with_rows_times_classes(tiny_recipe: Make, begin: Begin) -> None:
    _, work = begin(tiny_recipe())
    task, rows, classes = work.task, 20_000, 1_000
    assert isinstance(task, TextClassification)
    task.labels = [f"class {i}" for i in range(classes)]
    arrays = {
        "targets": np.arange(rows) % classes,
        "rows": np.arange(rows),
        "truncated": np.zeros(rows, dtype=bool),
        "offsets": np.arange(rows + 1) * 2,
        "ids": np.repeat(np.arange(rows) % classes, 2).astype(np.int32),
    }
    encoded = Encoded(arrays, ["here:1"] * rows)
    evaluate(task, OneOfMany(classes), encoded, 256, CPU)  # what libraries allocate once
    release(CPU)
    reset_peak()
    before = resident_bytes()
    outcome = evaluate(task, OneOfMany(classes), encoded, 256, CPU)
    assert outcome.metrics == {"accuracy": 1.0, "macro_f1": 1.0, "mcc": pytest.approx(1.0)}
    kept = sum(array.nbytes for array in (outcome.row_losses, outcome.predicted, outcome.confidence))
    assert kept == rows * (4 + 8 + 4)
    assert peak_bytes() - before < 24 * 2**20, "all logits are 80 MB"

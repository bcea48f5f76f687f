"""Memory that runs out splits a batch for good, changes nothing of the mathematics, and is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tunewell.actions import SetMicroBatchTokens
from tunewell.problems import RunError
from tunewell.recipe import Recipe
from tunewell.records import Acted, Step
from tunewell.tasks._protocol import Batch, LossSum
from tunewell.tasks.text_classification import TextClassification
from tunewell.training import driver

Make = Callable[..., Recipe]


def test_a_batch_that_memory_does_not_hold_is_split_for_good(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(driver.train(tiny_recipe(output_dir=str(tmp_path / "whole"), num_epochs=1)))
    honest, largest = TextClassification.loss, 0

    def loss(task: TextClassification, model: nn.Module, batch: Batch) -> LossSum:
        nonlocal largest
        if model.training:
            rows, longest = batch.inputs["input_ids"].shape
            if rows * longest > 100:
                raise torch.OutOfMemoryError("CUDA out of memory")
            largest = max(largest, rows * longest)
        return honest(task, model, batch)

    monkeypatch.setattr(TextClassification, "loss", loss)
    split = list(driver.train(tiny_recipe(num_epochs=1)))
    acted = [record for record in split if isinstance(record, Acted)]
    assert [one.by for one in acted] == ["tunewell"] * len(acted)
    assert all(isinstance(one.action, SetMicroBatchTokens) for one in acted)
    assert "memory ran out with 16 rows of" in acted[0].reason
    assert 50 < largest <= 100
    losses, expected = (
        [record.loss for record in records if isinstance(record, Step)] for records in (split, whole)
    )
    assert losses == pytest.approx(expected, rel=1e-4)
    assert len(losses) == len(expected)


def test_memory_that_does_not_hold_one_row_ends_the_run_in_words(
    tiny_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(task: TextClassification, model: nn.Module, batch: Batch) -> LossSum:
        raise torch.OutOfMemoryError("CUDA out of memory")

    honest = TextClassification.loss
    records = driver.train(tiny_recipe(num_epochs=1))
    next(record for record in records if isinstance(record, Step))
    monkeypatch.setattr(TextClassification, "loss", loss)
    with pytest.raises(RunError, match="memory ran out where nothing can be split further"):
        list(records)
    monkeypatch.setattr(TextClassification, "loss", honest)

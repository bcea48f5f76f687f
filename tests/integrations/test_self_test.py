"""The self-tests of anybody's model: nothing of it changes, and what is planted is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tunewell
from tunewell.inspections import Tested
from tunewell.training.self_tests import NAMES


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4))


def loss_of(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    inputs, targets = batch
    return F.cross_entropy(model(inputs), targets)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(24, 8, generator=torch.Generator().manual_seed(1)), torch.arange(24) % 4


def answers(*arguments: Any, **settings: Any) -> dict[str, Tested]:
    found = tunewell.self_test(*arguments, **settings)
    assert [answer.name for answer in found] == list(NAMES)
    return {answer.name: answer for answer in found}


def passed(found: dict[str, Tested]) -> dict[str, bool | None]:
    return {name: answer.passed for name, answer in found.items()}


def test_a_sound_model_passes_and_nothing_of_it_changes(batch: tuple[Tensor, Tensor]) -> None:
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 0.0)  # where a warm-up begins
    before, noise = {n: p.clone() for n, p in model.state_dict().items()}, torch.random.get_rng_state()
    found = answers(model, loss_of, batch, optimizer, classes=4, accumulation_steps=3)
    assert passed(found) == {**dict.fromkeys(NAMES, True), "padding": None}, found
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert optimizer.param_groups[0]["lr"] == 0.0
    assert not optimizer.state
    assert torch.equal(torch.random.get_rng_state(), noise)


def test_what_is_not_known_is_not_guessed(batch: tuple[Tensor, Tensor]) -> None:
    found = answers(mlp(), loss_of, batch)
    unknown = {
        "first_loss": "classes",
        "parameters_move": "optimizer",
        "accumulation": "gathered",
        "padding": "mask",
    }
    assert {name for name, answer in found.items() if answer.passed is None} == set(unknown)
    for name, why in unknown.items():
        assert why in found[name].detail


def test_planted_faults_are_named(batch: tuple[Tensor, Tensor]) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model[3] = nn.Linear(32, 4)
    assert answers(model, loss_of, batch, optimizer)["parameters_move"].layers == ["3.weight", "3.bias"]

    def summed(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], reduction="sum") / 24

    assert answers(mlp(), summed, batch, accumulation_steps=3)["accumulation"].passed is False

    def blind(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0] * 0), batch[1])

    found = answers(mlp(), blind, batch, classes=4)
    assert found["fits_one_batch"].passed is False
    assert found["first_loss"].passed

    model = mlp()
    with torch.no_grad():
        model[3].weight.mul_(100)
    assert answers(model, loss_of, batch, classes=4)["first_loss"].passed is False


def test_a_loss_that_is_none_and_a_model_that_can_not_be_copied_are_told(
    batch: tuple[Tensor, Tensor],
) -> None:
    assert passed(answers(mlp(), lambda model, batch: None, batch)) == dict.fromkeys(NAMES)
    model = mlp()
    model.seen = model(batch[0])  # type: ignore[assignment]
    found = answers(model, loss_of, batch)
    assert passed(found) == dict.fromkeys(NAMES)
    assert "no copy can be tried" in found["repeats"].detail


def test_a_transformer_with_a_mask(tiny_model: Path) -> None:
    from transformers import AutoModelForSequenceClassification, BatchEncoding

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=2)
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "input_ids": torch.randint(5, 29, (16, 12), generator=generator),
        "attention_mask": torch.ones(16, 12, dtype=torch.long),
        "labels": torch.arange(16) % 2,
    }
    batch = BatchEncoding(inputs)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    found = answers(model, lambda model, batch: model(**batch).loss, batch, optimizer, classes=2)
    assert passed(found) == {**dict.fromkeys(NAMES, True), "accumulation": None}, found

    def unmasked(model: Any, batch: Any) -> Tensor:
        return model(input_ids=batch["input_ids"], labels=batch["labels"]).loss

    assert answers(model, unmasked, batch, classes=2)["padding"].passed is False

"""Stages: what is named trains, what is not stays as it was, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tunewell.problems import RecipeError
from tunewell.recipe import Recipe
from tunewell.training.loop import Work, train_steps
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]


def moved_by_stage(state: TrainState, work: Work) -> list[set[str]]:
    """Train to the end and return which layers moved in each stage; the first update of a stage may have rate 0."""
    moved: list[set[str]] = [set() for _ in work.plan.stages]
    before = {name: master.detach().clone() for name, master in state.weights.masters.items()}
    for update in train_steps(state, work):
        for name, master in state.weights.masters.items():
            if not torch.equal(master, before[name]):
                moved[update.stage].add(state.layers[name])
                before[name] = master.detach().clone()
    return moved


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_head_first_and_then_everything(tiny_recipe: Make, begin: Begin, precision: str) -> None:
    stages = [{"train": "head", "num_epochs": 0.5}, {"train": "all", "num_epochs": 0.5}]
    moved = moved_by_stage(*begin(tiny_recipe(stages=stages, precision=precision)))
    assert moved == [{"head"}, {"embeddings", "layer.0", "layer.1", "head"}]


def test_gradual_unfreezing(tiny_recipe: Make, begin: Begin) -> None:
    stages = [{"train": name, "num_epochs": 0.4} for name in ("head", "top 1", "top 2")]
    moved = moved_by_stage(*begin(tiny_recipe(stages=stages)))
    assert moved == [{"head"}, {"head", "layer.1"}, {"head", "layer.0", "layer.1"}]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("classifier.*", {"classifier.weight", "classifier.bias"}),
        (
            "classifier.bias, *.layer.1.output.dense.*",
            {
                "classifier.bias",
                "bert.encoder.layer.1.output.dense.weight",
                "bert.encoder.layer.1.output.dense.bias",
            },
        ),
        (
            "top 0",
            {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight", "bert.pooler.dense.bias"},
        ),
    ],
)
def test_patterns_name_parameters(tiny_recipe: Make, begin: Begin, train: str, expected: set[str]) -> None:
    state, _ = begin(tiny_recipe(stages=[{"train": train}]))
    assert set(state.trainable) == expected


@pytest.mark.parametrize("train", ["encoder.*", "head, layer.9.*", "classifier.*, *.layer.7.*", "top three"])
def test_a_pattern_that_names_nothing_is_refused(tiny_recipe: Make, begin: Begin, train: str) -> None:
    with pytest.raises(RecipeError, match="no parameter of the model") as caught:
        begin(tiny_recipe(stages=[{"train": train}]))
    assert caught.value.problems[0].field == "stages"


def test_freezing_the_embeddings_holds_in_every_stage(tiny_recipe: Make, begin: Begin) -> None:
    recipe = tiny_recipe(
        embeddings="freeze", stages=[{"train": "head", "num_epochs": 0.3}, {"num_epochs": 0.3}]
    )
    state, work = begin(recipe)
    table = state.weights.masters["bert.embeddings.word_embeddings.weight"].detach().clone()
    moved = moved_by_stage(state, work)
    assert torch.equal(state.weights.masters["bert.embeddings.word_embeddings.weight"], table)
    assert "embeddings" in moved[1], "positions and normalisation still train"


def test_only_the_embeddings_frozen_leaves_nothing_of_themselves(tiny_recipe: Make, begin: Begin) -> None:
    asked: dict[str, Any] = {"embeddings": "freeze", "stages": [{"train": "*.word_embeddings.*"}]}
    with pytest.raises(RecipeError, match="no parameter"):
        begin(tiny_recipe(**asked))

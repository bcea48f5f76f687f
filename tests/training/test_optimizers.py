"""Optimizers by name: each learns, groups and rates are as asked, state survives packing."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunewell.problems import RecipeError
from tunewell.recipe import Recipe
from tunewell.training.loop import Work, train_steps
from tunewell.training.optimizers import NAMES
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]
RATES = {"adamw": 2e-3, "adam": 2e-3, "rmsprop": 3e-4, "sgd": 0.2, "adafactor": 1e-2, "lion": 1e-3}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_each_learns_a_batch_by_heart(
    tiny_recipe: Make, begin: Begin, write_reviews: Callable[..., Path], name: str, precision: str
) -> None:
    if name == "lion":
        pytest.importorskip("pytorch_optimizer")
    one_batch = {"train": str(write_reviews(count=16)), "validation": None}
    state, work = begin(
        tiny_recipe(one_batch, optimizer=name, learning_rate=RATES[name], max_steps=40, precision=precision)
    )
    losses = [float(update.loss) for update in train_steps(state, work)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    "changes", [{"optimizer": name} for name in NAMES] + [{"optimizer": "sgd", "momentum": 0}], ids=str
)
@pytest.mark.parametrize("embeddings", ["train", "rows"])
def test_state_survives_packing_bit_for_bit(
    tiny_recipe: Make, begin: Begin, changes: dict[str, Any], embeddings: str
) -> None:
    if changes["optimizer"] == "lion":
        pytest.importorskip("pytorch_optimizer")
    recipe = tiny_recipe(learning_rate=1e-3, max_steps=6, embeddings=embeddings, **changes)
    straight, work = begin(recipe)
    list(train_steps(straight, work))
    first, _ = begin(recipe)
    list(itertools.islice(train_steps(first, work), 3))
    tensors, facts = first.pack()
    second, _ = begin(recipe)
    second.unpack(tensors, facts, work.plan.stages[0], keep_adjustments=False)
    list(train_steps(second, work))
    for name, master in straight.weights.masters.items():
        assert torch.equal(master, second.weights.masters[name]), name
    packed, expected = second.optimizers.pack(), straight.optimizers.pack()
    assert packed.keys() == expected.keys()
    assert all(torch.equal(packed[key], expected[key]) for key in expected)


def test_biases_and_normalisation_never_decay(tiny_recipe: Make, begin: Begin) -> None:
    state, _ = begin(tiny_recipe(weight_decay=0.3))
    decay = {
        state.optimizers.names[id(parameter)]: group["weight_decay"]
        for group in state.optimizers.parts[0].param_groups
        for parameter in group["params"]
    }
    assert decay.keys() == state.trainable.keys()
    assert {name for name, value in decay.items() if value == 0} == {
        name for name in decay if name.endswith("bias") or "LayerNorm" in name
    }
    assert set(decay.values()) == {0.0, 0.3}


def test_each_layer_down_learns_slower(tiny_recipe: Make, begin: Begin) -> None:
    state, _ = begin(tiny_recipe(layer_decay=0.5, embeddings="rows", learning_rate=8e-3))
    state.optimizers.set_rate(0.5)
    rates = {
        state.layers[state.optimizers.names[id(parameter)]]: group["lr"]
        for part in state.optimizers.parts
        for group in part.param_groups
        for parameter in group["params"]
    }
    assert rates == {"head": 4e-3, "layer.1": 2e-3, "layer.0": 1e-3, "embeddings": 5e-4}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("parts", [1, 2], ids=["whole", "accumulated"])
def test_rows_of_the_embeddings_move_only_where_the_batch_holds_them(
    tiny_recipe: Make, begin: Begin, precision: str, parts: int
) -> None:
    state, work = begin(
        tiny_recipe(
            embeddings="rows", precision=precision, batch_size=4 // parts, gradient_accumulation_steps=parts
        )
    )
    table = "bert.embeddings.word_embeddings.weight"
    before = state.weights.masters[table].detach().clone()
    for _, update in zip(range(3), train_steps(state, work), strict=False):
        held = {int(token) for row in update.rows for token in work.encoded.ids(int(row))}
        now = state.weights.masters[table].detach().clone()
        if update.step > 1:
            moved = {int(row) for row in (now != before).any(dim=1).nonzero()}
            assert moved == held - {0}  # the padding's row gets no gradient
            assert len(moved) < len(now) - 4
        before = now
        assert torch.equal(state.weights.used[table], now.to(state.weights.used[table].dtype))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_frozen_embeddings_do_not_move(tiny_recipe: Make, begin: Begin, precision: str) -> None:
    state, work = begin(tiny_recipe(embeddings="freeze", precision=precision, max_steps=4))
    table = "bert.embeddings.word_embeddings.weight"
    before = {name: master.detach().clone() for name, master in state.weights.masters.items()}
    list(train_steps(state, work))
    assert table not in state.trainable
    moved = {name for name, master in state.weights.masters.items() if not torch.equal(master, before[name])}
    assert moved == set(state.trainable)


def test_a_package_that_is_missing_is_named(
    tiny_recipe: Make, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(RecipeError, match=r"\.\[optimizers\]"):
        begin(tiny_recipe(optimizer="lion"))

"""Every kind of encoder gets its layers named from input to output, and trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    RobertaConfig,
)

from conftest import tiny_tokenizer
from tunewell.models.layers import layer_by_parameter, layer_order, word_embeddings
from tunewell.recipe import Recipe
from tunewell.training.loop import Work, train_steps
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
FAMILIES: dict[str, tuple[type, dict[str, Any], set[str]]] = {
    "roberta": (RobertaConfig, SIZES, {"classifier"}),
    "electra": (ElectraConfig, {**SIZES, "embedding_size": 16}, {"classifier"}),
    "deberta-v2": (
        DebertaV2Config,
        {**SIZES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
        {"classifier", "pooler"},
    ),
    "distilbert": (
        DistilBertConfig,
        {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 40},
        {"classifier", "pre_classifier"},
    ),
    "gpt2": (
        GPT2Config,
        {"n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 40, "pad_token_id": 0},
        {"score"},
    ),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, set[str]]:
    """Return the folder of a tiny random model of one kind, and the modules of its head."""
    kind, settings, head = FAMILIES[request.param]
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    AutoModel.from_config(kind(vocab_size=len(tokenizer), **settings)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model", head


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_layers_are_named_and_all_train(
    family: tuple[Path, set[str]], tiny_recipe: Make, begin: Begin, precision: str
) -> None:
    folder, head = family
    recipe = tiny_recipe(
        model=str(folder), max_steps=2, warmup_ratio=0, lr_scheduler="constant", precision=precision
    )
    state, work = begin(recipe)
    assert state.layer_order == ["embeddings", "layer.0", "layer.1", "layer.2", "head"]
    for name, layer in state.layers.items():
        assert (layer == "head") == (name.split(".")[0] in head), name
        assert (layer == "embeddings") == (layer != "head" and not any(f".{i}." in name for i in range(3))), (
            name
        )
    assert set(work.task.new_parameters) == {name for name, layer in state.layers.items() if layer == "head"}
    before = {name: master.detach().clone() for name, master in state.weights.masters.items()}
    updates = list(train_steps(state, work))
    assert len(updates) == 2
    assert all(bool(update.finite) for update in updates)
    moved = {
        state.layers[name]
        for name, master in state.weights.masters.items()
        if not torch.equal(master, before[name])
    }
    assert moved == set(state.layer_order)
    table = word_embeddings(state.model)
    assert table is not None
    assert table.num_embeddings == len(tiny_tokenizer())


def test_a_module_that_is_no_transformer_is_embeddings_and_head() -> None:
    model = nn.ModuleDict({"body": nn.Linear(3, 3), "classifier": nn.Linear(3, 2)})
    layers = layer_by_parameter(model)
    assert layers["body.weight"] == "embeddings"
    assert layers["classifier.bias"] == "head"
    assert layer_order(layers) == ["embeddings", "head"]
    assert word_embeddings(model) is None

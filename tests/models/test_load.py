"""Loading: what is new is named, drawn from the seed; what can't be loaded is told in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from conftest import make_tiny_bert, tiny_tokenizer
from tunewell.models.load import Loaded, load_model, load_tokenizer
from tunewell.models.source import find
from tunewell.problems import ModelError
from tunewell.recipe import Recipe
from tunewell.training.loop import Work
from tunewell.training.state import TrainState


def load(folder: Path, seed: int = 0, dropout: float | None = None, labels: int = 2) -> Loaded:
    source = find(str(folder))
    return load_model(
        AutoModelForSequenceClassification, source, seed=seed, dropout=dropout, num_labels=labels
    )


def test_new_weights_come_from_the_seed_and_are_named(tiny_model: Path) -> None:
    one, same, other = load(tiny_model, 1), load(tiny_model, 1), load(tiny_model, 2)
    assert one.new_parameters == ["classifier.bias", "classifier.weight"]
    weight, same_weight, other_weight = (loaded.model.classifier.weight for loaded in (one, same, other))
    assert torch.equal(weight, same_weight)
    assert not torch.equal(weight, other_weight)
    pooler, other_pooler = (
        dict(loaded.model.named_parameters())["bert.pooler.dense.weight"] for loaded in (one, other)
    )
    assert torch.equal(pooler, other_pooler)


def test_a_head_of_another_size_begins_anew(tiny_model: Path, tmp_path: Path) -> None:
    load(tiny_model, labels=5).model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert load(tmp_path, labels=5).new_parameters == []
    again = load(tmp_path, labels=3)
    assert again.new_parameters == ["classifier.bias", "classifier.weight"]
    assert again.model.classifier.weight.shape == (3, 32)


@pytest.mark.parametrize(("dropout", "expected"), [(None, 0.1), (0.0, 0.0), (0.4, 0.4)])
def test_dropout_is_overridden_everywhere(tiny_model: Path, dropout: float | None, expected: float) -> None:
    model = load(tiny_model, dropout=dropout).model
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {expected}
    assert model.config.attention_probs_dropout_prob == expected


def test_a_folder_without_weights_or_tokenizer_is_told_in_words(tiny_model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        find(str(empty))
    (empty / "config.json").write_text((tiny_model / "config.json").read_text())
    with pytest.raises(ModelError, match="can't load the model") as caught:
        load(empty)
    assert "model.safetensors" in caught.value.problems[0].fix
    with pytest.raises(ModelError, match="has no tokenizer"):
        load_tokenizer(find(str(empty)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (b"", "can't load the model"),
        (b"not a header at all", "can't load the model"),
        (b"\x08\0\0\0\0\0\0\0{}      ", "none fits"),  # whole, and empty
    ],
)
def test_damaged_weights_are_told_in_words(tmp_path: Path, damage: bytes, said: str) -> None:
    folder = make_tiny_bert(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(damage)
    with pytest.raises(ModelError, match=said):
        load(folder)


def test_a_token_beyond_the_embeddings_is_refused(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], begin: Callable[[Recipe], tuple[TrainState, Work]]
) -> None:
    folder = make_tiny_bert(tmp_path / "model", vocab_size=12)
    with pytest.raises(ModelError, match="embeds only 12"):
        begin(tiny_recipe(model=str(folder)))

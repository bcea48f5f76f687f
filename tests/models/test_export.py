"""The result is whole or not there, and replaces an older one as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from conftest import tiny_tokenizer
from tunewell.models.export import export
from tunewell.models.load import load_model
from tunewell.models.source import find


@pytest.fixture
def model(tiny_model: Path) -> nn.Module:
    return load_model(AutoModelForSequenceClassification, find(str(tiny_model)), seed=0, dropout=0.0).model


def test_weights_given_are_written_in_fp32_and_the_model_keeps_its_own(
    model: nn.Module, tmp_path: Path
) -> None:
    weights = {name: parameter.detach() + 1 for name, parameter in model.named_parameters()}
    model.to(torch.bfloat16)
    export(model, weights, tiny_tokenizer(), "a card", tmp_path / "model", '{"task": "x"}')
    written = load_file(tmp_path / "model" / "model.safetensors")
    assert written.keys() == weights.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in weights.items())
    assert all(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    assert (tmp_path / "model" / "README.md").read_text() == "a card"
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert torch.equal(again.classifier.weight, weights["classifier.weight"])


def test_an_older_result_and_half_a_one_give_way(model: nn.Module, tmp_path: Path) -> None:
    for name in ("model", ".model.tmp", ".model.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stray.txt").write_text("old")
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    export(model, weights, tiny_tokenizer(), "new", tmp_path / "model", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "stray.txt").exists()

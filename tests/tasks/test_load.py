"""A result that is not what was sealed is not loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tunewell.problems import ModelError
from tunewell.runs import sums
from tunewell.tasks._load import model_folder


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "demo" / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "README.md").write_text("card")
    (tmp_path / "demo" / "recipe.yaml").write_text("model: m\n")
    sums.write(folder)
    return folder


def test_a_whole_result_is_found(model: Path) -> None:
    assert model_folder(model) == model_folder(model.parent) == model


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "SHA256SUMS"])
def test_a_damaged_file_is_refused_by_name(model: Path, name: str) -> None:
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    for meant in (model, model.parent):
        with pytest.raises(ModelError, match=name) as caught:
            model_folder(meant)
    assert "delete SHA256SUMS" in caught.value.problems[0].fix
    (model / "SHA256SUMS").unlink()
    assert model_folder(model) == model


def test_a_missing_file_is_named(model: Path) -> None:
    (model / "config.json").unlink()
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing") as caught:
        model_folder(model.parent)
    assert len(caught.value.problems) == 2


def test_the_model_card_may_be_edited(model: Path) -> None:
    (model / "README.md").write_text("my own words")
    assert model_folder(model) == model

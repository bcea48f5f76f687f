"""A configuration that asks for more than its weights can fill is refused before it is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tunewell.models.load import load_config, load_tokenizer
from tunewell.models.size import refuse_oversized, stored_shapes
from tunewell.models.source import find
from tunewell.problems import ModelError


def changed(folder: Path, model: Path, **settings: object) -> Path:
    shutil.copytree(model, folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 10**6}, "asks for 1,000,000 layers, but its weights are"),
        ({"hidden_size": 10**9}, "has hidden_size 1,000,000,000, but its weights hold"),
        ({"vocab_size": 10**12}, "has vocab_size"),
    ],
)
def test_too_much_is_refused(
    tiny_model: Path, tmp_path: Path, settings: dict[str, int], message: str
) -> None:
    folder = changed(tmp_path / "m", tiny_model, **settings)
    with pytest.raises(ModelError, match=message):
        refuse_oversized(load_config(find(str(folder))), folder, "m")


def test_what_fits_passes(tiny_model: Path, tmp_path: Path) -> None:
    refuse_oversized(load_config(find(str(tiny_model))), tiny_model, "m")
    refuse_oversized(load_config(find(str(tiny_model))), tmp_path, "no weights there")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\xff" * 16, b"\2\0\0\0\0\0\0\0{}", b"\x0c\0\0\0\0\0\0\0" + b'{"a": [1, 2]}'],
)
def test_a_broken_header_is_left_to_the_loader(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert not stored_shapes(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"99"),
        ("config.json", b"[" * 100_000),
        ("tokenizer.json", b'{"version": "1.0", "version": "1.0"}'),
        ("tokenizer_config.json", b"[" * 100_000),
        ("tokenizer_config.json", b'{"unk_token": "", "backend": null}'),
    ],
)
def test_whatever_a_broken_file_raises_is_a_model_error(
    tiny_model: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = changed(tmp_path / "m", tiny_model)
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match="can't load the tokenizer"):
        load_tokenizer(find(str(folder)))


def test_a_billion_labels_are_refused_before_each_gets_a_name(tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(tmp_path / "m", tiny_model, num_labels=10**9)
    with pytest.raises(ModelError, match="num_labels 1,000,000,000"):
        find(str(folder))

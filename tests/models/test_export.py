"""The result is whole or not there, and replaces an older one as a whole."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from conftest import tiny_tokenizer
from tunewell.models.export import export
from tunewell.models.load import load_model
from tunewell.models.source import find
from tunewell.runs import sums
from tunewell.runs.disk import DiskFullError


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


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_the_result_is_sealed(model: nn.Module, tmp_path: Path) -> None:
    export(model, weights_of(model), tiny_tokenizer(), "a card", tmp_path / "model", "{}")
    sealed = sums.read(tmp_path / "model")
    assert sealed is not None
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "tunewell.json"} <= set(sealed)
    assert sums.check(tmp_path / "model") == {}


def test_an_older_result_is_put_back_where_a_process_died_between_the_renames(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".model.old").mkdir()
    (tmp_path / ".model.old" / "stray.txt").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match="no space left"):
            export(model, weights_of(model), tiny_tokenizer(), "new", tmp_path / "model", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "stray.txt").read_text() == "old"
    export(model, weights_of(model), tiny_tokenizer(), "new", tmp_path / "model", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "stray.txt").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of a file")
@pytest.mark.parametrize("room", [0, 300, 2000, 20_000])
def test_no_room_at_any_moment_is_said_in_words(model: nn.Module, tmp_path: Path, room: int) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(DiskFullError, match="can't write the result: no space left") as caught:
            export(model, weights_of(model), tiny_tokenizer(), "x" * 50_000, tmp_path / "model", "{}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "tunewell resume" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("older", [True, False])
def test_killed_at_each_moment_the_result_is_whole_or_not_there(
    model: nn.Module, tmp_path: Path, older: bool
) -> None:
    folder, weights, tokenizer = tmp_path / "model", weights_of(model), tiny_tokenizer()
    for moment in itertools.count():
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        if older:
            export(model, weights, tokenizer, "older", folder, "{}")
        child = os.fork()
        if child == 0:
            _die_at(moment)
            export(model, weights, tokenizer, "newer", folder, "{}")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        cards = {"newer", "older"} if older else {"newer"}
        if folder.exists():
            assert sums.check(folder) == {}
            assert (folder / "README.md").read_text() in cards
        elif older:  # between the two renames
            assert sums.check(tmp_path / ".model.old") == {}
        if os.waitstatus_to_exitcode(status) == 0:
            break
        export(model, weights, tokenizer, "newest", folder, "{}")
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert moment > 15


def _die_at(moment: int) -> None:
    """Let this process die just before its change of the disk number `moment`."""
    left = itertools.count(moment, -1)

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            if next(left) == 0:
                os._exit(9)
            return call(*arguments, **options)

        return changed

    for name in ("fsync", "mkdir", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))
    Path.rename = dying(Path.rename)  # type: ignore[method-assign]
    Path.write_bytes = dying(Path.write_bytes)  # type: ignore[method-assign]
    Path.write_text = dying(Path.write_text)  # type: ignore[method-assign]

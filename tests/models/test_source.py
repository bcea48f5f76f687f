"""Where a model comes from: a folder, an alias, the hub; near names for a slip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunewell.models.source import find
from tunewell.problems import ModelError


def test_a_folder_wins_and_is_local(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(str(tiny_model)).location == str(tiny_model)
    assert find(str(tiny_model)).is_local
    monkeypatch.chdir(tiny_model.parent)
    assert find(tiny_model.name).is_local


def test_what_is_no_folder_and_no_alias_is_a_hub_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = find("someone/some-model", "v2")
    assert (source.location, source.revision, source.is_local) == ("someone/some-model", "v2", False)


@pytest.mark.parametrize("name", ["minilmm", "mini_lm"])
def test_a_slip_in_an_alias_is_guessed(name: str) -> None:
    with pytest.raises(ModelError, match=f"unknown model `{name}`") as caught:
        find(name)
    assert "did you mean `minilm`?" in caught.value.problems[0].fix


def test_a_path_that_is_not_there_tells_its_neighbours(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="no such model folder") as caught:
        find(str(tiny_model.parent / "tiny-brt"))
    assert "tiny-bert" in caught.value.problems[0].fix
    with pytest.raises(ModelError) as caught:
        find(str(tiny_model.parent / "nowhere" / "model"))
    assert "does not exist either" in caught.value.problems[0].fix

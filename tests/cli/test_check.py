"""`tunewell check` of data alone: what kind it is, what is told, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tunewell import cli


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(name: str, count: int = 60) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    lines = [f"the film number {i} was fine,{'good' if i % 3 else 'bad'}\n" for i in range(count)]
    Path(name).write_text("text,label\n" + "".join(lines))


def test_rows_are_told_as_init_would_see_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows("reviews.csv")
    assert cli.main(["check", "reviews.csv"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("60 rows read: text from `text`, label from `label`; single_label\n")
    assert told.err == "The rows of reviews.csv can be used.\nnext: tunewell init reviews.csv\n"
    assert not Path("recipe.yaml").exists()


def test_bad_rows_are_refused_or_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    rows("reviews.csv")
    with Path("reviews.csv").open("a") as file:
        file.write(",good\n")
    assert cli.main(["check", "reviews.csv"]) == 2
    told = capsys.readouterr()
    assert "--> reviews.csv:62  text" in told.err
    assert told.err.endswith("next: tunewell check reviews.csv\n")
    assert not told.out
    assert cli.main(["check", "reviews.csv", "--skip-bad"]) == 0
    assert "dropped, empty text: 1 (reviews.csv:62)" in capsys.readouterr().out


def test_skip_bad_holds_for_a_recipe_too(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows("reviews.csv")
    with Path("reviews.csv").open("a") as file:
        file.write(",good\n")
    Path("r.yaml").write_text(f"model: {tiny_model}\ndata:\n  train: reviews.csv\ndevice: cpu\n")
    assert cli.main(["check", "r.yaml"]) == 2
    assert cli.main(["check", "r.yaml", "--skip-bad"]) == 0
    assert "dropped, empty text: 1" in capsys.readouterr().out


def test_a_folder_with_a_training_file_holds_rows(capsys: pytest.CaptureFixture[str]) -> None:
    rows("data/train.csv")
    rows("data/test.csv", 12)
    assert cli.main(["check", "data"]) == 0
    assert "test rows: data/test.csv, found beside" in capsys.readouterr().out


def test_images_recordings_and_chats(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mixed").mkdir()
    Image.new("RGB", (4, 4)).save("mixed/a.png")
    Image.new("RGB", (4, 4)).save("mixed/b.png")
    soundfile.write("mixed/c.wav", np.ones(10), 16_000)
    Path("chats.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    for name, kind in (("mixed", "images"), ("mixed/c.wav", "recordings"), ("chats.jsonl", "chats")):
        assert cli.main(["check", name]) == 0
        told = capsys.readouterr()
        assert f"{kind} read" in told.out
        assert told.err == f"The {kind} of {name} can be used.\n"
        assert cli.main(["check", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["kind"] == kind


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (["nowhere.csv"], "no such file in the current folder"),
        (["empty"], "which file holds the training rows? the folder has no files"),
        (["nowhere.png"], "can't read the file: No such file or directory"),
        (["reviews.csv", "--set", "seed=1"], "--set changes a recipe, and this is data alone"),
        (["csv:nowhere.txt"], "no such file"),
    ],
)
def test_what_is_not_there_is_told(tokens: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows("reviews.csv")
    Path("empty").mkdir()
    assert cli.main(["check", *tokens]) == 2
    assert told in capsys.readouterr().err


def test_what_would_change_the_screen_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text("text,label\n" + "".join(f"film {i},\x1b[2J{i % 2}\n" for i in range(8)))
    assert cli.main(["check", "a.csv"]) == 0
    told = capsys.readouterr()
    assert "\\x1b[2J" in told.out
    assert "\x1b" not in told.out + told.err

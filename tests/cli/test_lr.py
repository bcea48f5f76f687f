"""`tunewell lr`: a chart, a rate and a picture; what can't be drawn is refused before anything is computed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.reliability import tiny

from tunewell import cli
from tunewell.cli._lr import chart, in_sentences
from tunewell.training.range_test import RangeTest, Suggestion


@pytest.fixture(autouse=True)
def _recipe(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write_reviews(tmp_path / "train.jsonl")
    Path("r.yaml").write_text(
        f"model: {tiny_model}\ndata: {{train: train.jsonl, max_length: 32}}\nbatch_size: 16\nlearning_rate: 2e-5\n"
        "device: cpu\nprecision: fp32\nnum_threads: 1\n"
    )


def test_chart_suggestion_and_picture(capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name for path in Path().iterdir()}
    assert cli.main(["lr", "r.yaml"]) == 0
    told = capsys.readouterr()
    assert "update 100/100" in told.err
    assert "Drawn in lr.svg." in told.err
    lines = told.out.splitlines()
    assert "•" in lines[0] + lines[1]
    assert lines[12].count("▲") == 1
    assert lines[14].startswith("suggested learning_rate: ")
    assert lines[15].endswith("times lower")
    rate = lines[14].split()[2]
    assert told.err.endswith(f"next: tunewell train r.yaml --set learning_rate={rate}\n")
    assert "suggested: " in Path("lr.svg").read_text()
    assert {path.name for path in Path().iterdir()} == {*before, "lr.svg"}


def test_json_and_another_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lr", "r.yaml", "--json", "--updates", "30", "--output", "curve.png"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) <= 30
    assert {"learning_rate", "reason"} <= set(found["suggestion"])
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "lr.pdf"], "a picture ends in .svg or .png, and `lr.pdf` does not"),
        (["--lowest", "1"], "there are no rates from 1 to 0.3"),
        (["--updates", "3"], "3 updates show no course"),
        (["--output", "absent/lr.svg", "--updates", "30"], "write the picture"),
    ],
)
def test_what_can_not_be_done_is_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["lr", "r.yaml", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_without_the_extra_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    assert cli.main(["lr", "r.yaml"]) == 2
    assert "pip install '.[plots]'; or leave it out: --no-picture" in capsys.readouterr().err
    assert cli.main(["lr", "r.yaml", "--no-picture", "--updates", "30"]) == 0
    assert not Path("lr.svg").exists()


def found(**changes: Any) -> RangeTest:
    fields = {
        "rates": [1e-5, 1e-4, 1e-3],
        "losses": [0.7, 0.4, 2.0],
        "smoothed": [0.7, 0.4, 2.0],
        "asked": 1e-4,
    }
    suggestion = Suggestion(learning_rate=1e-4, reason="a tenth of 1e-3, from where on the loss rises")
    return RangeTest(**{**fields, "suggestion": suggestion, **changes})


def test_words_and_chart() -> None:
    assert in_sentences(found())[1] == "the recipe's own, 0.0001, is close to that"
    assert in_sentences(found(asked=1e-2))[1] == "the recipe's own, 0.01, is 100 times as high"
    nothing = Suggestion(learning_rate=None, reason="the loss is not finite from the start")
    assert in_sentences(found(suggestion=nothing)) == [
        "no rate can be suggested: the loss is not finite from the start."
    ]
    lines = chart(found())
    assert lines[0].startswith("1.3 │"), "what rises far above is cut off"
    assert lines[11].startswith("0.4 │")
    assert lines[12].index("▲") == lines[11].index("•")
    assert "▲" not in "".join(chart(found(suggestion=nothing)))

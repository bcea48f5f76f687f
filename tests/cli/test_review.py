"""`tunewell review` over a run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.runs.folder import RunFolder

ROWS = """row,place,confidence,given,suggested,reasons,text,text_pair
7,a.csv:9,0.970,good,bad,margin late,"A dull, long film.",
3,a.csv:5,0.610,bad,good,margin,A film to remember.,
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return RunFolder.create(Path("runs") / "films", "data: {train: a}\n", {}).path


def test_rows_are_shown_surest_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "review.csv").write_text(ROWS, encoding="utf-8")
    assert cli.main(["review", "films", "--rows", "1"]) == 0
    shown = capsys.readouterr().out
    assert "97%  a.csv:9  `good`, rather `bad`  A dull, long film." in shown
    assert "and 1 more in" in shown
    assert cli.main(["review", "films", "--json"]) == 0
    assert [row["row"] for row in json.loads(capsys.readouterr().out)] == ["7", "3"]


def test_a_run_without_suspects_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", "films"]) == 2
    assert "no row's label is suspected" in capsys.readouterr().err

"""`tunewell diagnose` on logs of other tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunewell import cli

SAMPLES = Path(__file__).parent.parent / "integrations" / "logs" / "samples"


def test_it_tells_what_went_wrong_and_when(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["diagnose", str(SAMPLES / "trainer_state.json")]) == 0
    told = capsys.readouterr().out
    assert "NaN or infinite values at step 150" in told.replace("\n", " ")
    assert "logging_nan_inf_filter" in told


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["diagnose", str(SAMPLES / "training.csv"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [incident["code"] for incident in told["story"]["incidents"]] == ["overfitting"]
    assert "a step below is an epoch" in " ".join(told["read"])


def test_columns_and_classes_can_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.csv"
    log.write_text("n,objective\n" + "".join(f"{step},1.386\n" for step in range(1, 41)))
    arguments = ["diagnose", str(log), "--column", "loss=objective", "--column", "step=n", "--classes", "4"]
    assert cli.main(arguments) == 0
    assert "Underfitting" in capsys.readouterr().out


def test_bad_input_is_told_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n1,0.5\n2,abc\n")
    assert cli.main(["diagnose", str(log)]) == 2
    told = capsys.readouterr().err
    assert "error[log]: `abc` is no number" in told
    assert f"{log}:3  loss" in told
    assert cli.main(["diagnose", str(tmp_path / "none")]) == 2
    assert cli.main(["diagnose", str(log), "--column", "loss"]) == 2
    assert "give it as ROLE=COLUMN" in capsys.readouterr().err

"""All verbs over one real run: a tiny model, real training, in this process and in others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.records import Ended, Started, decode
from tunewell.runs import log


@pytest.fixture
def recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, write_reviews: Callable[..., Path]
) -> Path:
    """Return a recipe drafted by `init` for the tiny model, in the present folder."""
    monkeypatch.chdir(tmp_path)
    write_reviews("reviews.jsonl", count=240)
    assert cli.main(["init", "reviews.jsonl", "--out", "reviews.yaml"]) == 0
    path = tmp_path / "reviews.yaml"
    text = path.read_text()
    for drafted, wanted in {
        "minilm": str(tiny_model),
        "max_length: 128": "max_length: 32",
        "_epochs: 10": "_epochs: 2",
    }.items():
        assert drafted in text
        text = text.replace(drafted, wanted)
    path.write_text(text)
    return path


def test_from_data_to_predictions(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.main(["check", "reviews.yaml"]) == 0
    told = capsys.readouterr()
    assert "240 rows read: text from `text`, label from `label`; single_label" in told.out
    assert "labels:             bad, good" in told.out
    assert told.err.endswith("next: tunewell train reviews.yaml\n")

    assert cli.main(["train", "reviews.yaml", "--set", "lr=1e-3"]) == 0
    told = capsys.readouterr()
    assert not told.out
    assert "note: `lr` is understood as `learning_rate`" in told.err
    assert "reviews completed at step 12 of 12" in told.err
    assert "(before fine-tuning → after)" in " ".join(told.err.split())
    assert told.err.endswith('next: tunewell predict runs/reviews "your text"\n')
    assert Path("runs/reviews/model/config.json").is_file()

    assert cli.main(["predict", "reviews", "lovely film", "dull plot", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["lovely film", "dull plot"]
    assert cli.main(["predict", "reviews", "--file", "reviews.jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 240

    assert cli.main(["runs"]) == 0
    assert "reviews  completed  12/12" in capsys.readouterr().out
    assert cli.main(["why", "reviews"]) == 0
    assert "reviews completed at step 12" in capsys.readouterr().out
    assert cli.main(["resume", "reviews"]) == 2
    assert "there is nothing to resume" in capsys.readouterr().err
    assert cli.main(["train", "reviews.yaml", "--name", "reviews"]) == 2
    assert "the folder holds a run" in capsys.readouterr().err


def test_a_dry_run_leaves_nothing_behind(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "reviews.yaml", "--dry-run", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plan"]["steps"] == 12
    assert report["ledger"]["splits"]["train"]["kept"] == 192
    assert not Path("runs").exists()


def test_what_the_driver_refuses_is_told_with_its_line(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(recipe.read_text().replace("batch_size: 32", "batch_size: 320"))
    capsys.readouterr()
    assert cli.main(["check", "reviews.yaml"]) == 2
    told = capsys.readouterr().err
    assert "error[recipe]: a batch of 320 is more than the 192 training rows" in told
    assert "--> reviews.yaml:17  batch_size" in told
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_stops_and_a_resume_finishes(
    recipe: Path, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "tunewell"]
    training = subprocess.Popen(
        [
            *command,
            "train",
            "reviews.yaml",
            "--json",
            "--set",
            "max_steps=120",
            "--set",
            "eval_steps=60",
            "--set",
            "num_threads=1",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert training.stdout is not None
    for line in training.stdout:
        if line.startswith('{"type":"step"'):
            break
    training.send_signal(number)
    _, told = training.communicate(timeout=120)
    assert training.returncode == code
    assert told.endswith("next: tunewell resume runs/reviews\n")

    done = subprocess.run(
        [*command, "resume", "reviews", "--json"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    last = decode(done.stdout.splitlines()[-1])
    assert isinstance(last, Ended)
    assert (last.status, last.step) == ("completed", 120)
    assert sum(isinstance(record, Started) for record in log.read(Path("runs/reviews/log.jsonl"))) == 1

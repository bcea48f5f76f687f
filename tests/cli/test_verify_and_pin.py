"""`tunewell verify` and `tunewell pin` over a run folder on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.records import Note
from tunewell.runs import checkpoints
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with a log and two checkpoints."""
    monkeypatch.chdir(tmp_path)
    run = RunFolder.create(Path("runs") / "demo", "model: m\ndata: {train: a.jsonl}\n", {})
    run.ledger.write_text("{}")
    log = LogWriter(run.log)
    log.append(Note(step=0, text="hello"))
    for number in range(2):
        length, digest = log.sync()
        facts = {"log_length": length, "log_digest": digest}
        checkpoints.write_commit(
            run.checkpoints, number, number * 10, lambda folder: (folder / "state.json").touch(), facts
        )
    log.close()
    return run


def test_a_whole_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "demo"]) == 0
    told = capsys.readouterr()
    assert "checkpoints/0001-step-10  whole" in told.out
    assert told.err == (
        "All of demo is whole. A resume goes on after step 10, from checkpoint 0001-step-10.\n"
        "next: tunewell resume demo\n"
    )


def test_a_damaged_run(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (run.checkpoints / "0001-step-10" / "state.json").write_text("?")
    assert cli.main(["verify", "runs/demo"]) == 1
    told = capsys.readouterr()
    assert "checkpoints/0001-step-10/state.json  damaged  has 1 bytes, not 0" in told.out
    assert told.err == (
        "checkpoints/0001-step-10/state.json: a resume sets it aside and takes an older one\n"
        "1 part of demo is not whole. A resume goes on after step 0, from checkpoint 0000-step-0.\n"
        "next: tunewell resume demo\n"
    )
    assert cli.main(["verify", "demo", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["outlook"]["step"] == 0
    assert {part["state"] for part in found["parts"]} == {"whole", "damaged"}


def test_pins_are_set_listed_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pin", "demo@0"]) == 0
    assert "0000-step-0 of demo is pinned" in capsys.readouterr().err
    assert cli.main(["pin", "demo"]) == 0
    assert capsys.readouterr().out == "0000-step-0   pinned\n0001-step-10\n"
    assert cli.main(["pin", "demo@0", "--remove"]) == 0
    assert cli.main(["pin", "demo"]) == 0
    assert "pinned" not in capsys.readouterr().out
    assert cli.main(["pin", "demo@7"]) == 2
    assert "there are checkpoints of step 10, 0" in capsys.readouterr().err

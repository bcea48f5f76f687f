"""`tunewell runs` and `tunewell why` over run folders on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.records import Ended, Eval, Finding, Record, Started, Step
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_run(name: str, *, ended: bool) -> None:
    run = RunFolder.create(Path("runs") / name, "data: {train: a}\n", {})
    records: list[Record] = [
        Started(
            time=1.0,
            run=name,
            recipe_hash="",
            data_hash="",
            fingerprint={},
            total_steps=10,
            batches_per_epoch=5,
            num_rows={"train": 160},
            trainable_parameters=7,
            total_parameters=7,
        ),
        Step(
            step=1,
            cursor=1,
            epoch=0.2,
            stage=0,
            loss=0.7,
            learning_rate=1e-4,
            gradient_norm=1,
            rows=32,
            tokens=9,
            seconds=1,
        ),
        Eval(
            step=1,
            epoch=0.2,
            split="validation",
            loss=0.6,
            metrics={"accuracy": 0.75},
            rows=16,
            seconds=1,
            best=True,
        ),
        Finding(
            step=1,
            monitor="plateau",
            code="plateau",
            severity="warning",
            summary="No gain since step 0.",
            meaning="Stuck.",
        ),
    ]
    if ended:
        records.append(Ended(time=9.0, step=1, status="stopped", reason="plateau", seconds=8.0))
    log = LogWriter(run.log)
    for record in records:
        log.append(record)
    log.close()


def test_no_runs_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs"]) == 0
    told = capsys.readouterr()
    assert told.err == "There are no runs in runs.\nnext: tunewell train RECIPE\n"
    assert not told.out


def test_runs_are_listed_with_their_status_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    a_run("first", ended=True)
    a_run("second", ended=False)
    assert cli.main(["runs"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "run     status                           step  validation      test  findings",
        "first   stopped by its policy (plateau)  1/10  accuracy 0.750  –     1 warning",
        "second  died without a word              1/10  accuracy 0.750  –     1 warning",
    ]
    assert told.err == "next: tunewell resume second\n"


def test_runs_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    a_run("first", ended=True)
    assert cli.main(["runs", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["name"], run["status"], run["best_eval"]["metrics"]) == (
        "first",
        "stopped",
        {"accuracy": 0.75},
    )


def test_why_tells_the_story_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    a_run("first", ended=True)
    assert cli.main(["why", "fir"]) == 0
    assert "No gain since step 0." in capsys.readouterr().out
    assert cli.main(["why", "runs/first", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["incidents"][0]["code"] == "plateau"


def test_a_run_that_is_not_there_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    a_run("first", ended=True)
    for verb in ("why", "resume", "predict"):
        assert cli.main([verb, "firts"]) == 2
        told = capsys.readouterr().err
        assert "error[run]: no run `firts`" in told
        assert "did you mean `first`?" in told
        assert told.endswith("next: tunewell runs\n")


def test_hostile_words_of_a_log_are_spelled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunewell.records import Ended, encode

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "one").mkdir(parents=True)
    ended = Ended(step=1, status="failed", reason="boom\x1b[2J\u202e")
    (tmp_path / "runs" / "one" / "log.jsonl").write_bytes(encode(ended))
    assert cli.main(["runs"]) == 0
    assert cli.main(["why", "one"]) == 0
    told = capsys.readouterr()
    assert "boom\\x1b[2J\\u202e" in told.out
    assert not {"\x1b", "\u202e"} & {*told.out, *told.err}

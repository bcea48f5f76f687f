"""`tunewell ctl`: what is refused before it is asked, what is waited for, and a real run that is steered to its end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tunewell import actions as does
from tunewell import cli
from tunewell.records import Acted, Committed, Ended, Record, Requested, Started, Step, encode
from tunewell.runs import checkpoints, inbox
from tunewell.runs import log as logs
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Inbox
from tunewell.runs.log import LogWriter
from tunewell.runs.row_history import RowHistory
from tunewell.runs.tail import Tail

STARTED = Started(
    run="reviews", recipe_hash="r", data_hash="", fingerprint={}, total_steps=9, batches_per_epoch=3,
    num_rows={"train": 4, "validation": 2}, trainable_parameters=1, total_parameters=1,
)  # fmt: skip
STEP = Step(
    step=5, cursor=4, epoch=0.1, stage=0, loss=0.5, learning_rate=1e-4, gradient_norm=1.0, rows=4, tokens=40,
    seconds=0.1,
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    folder = RunFolder.create(Path("runs") / "reviews", "data: {train: a}\n", {})
    log = LogWriter(folder.log)
    for record in (STARTED, STEP):
        log.append(record)
    log.close()
    RowHistory(folder.rows, [4, 5, 6, 7])
    for number, (step, healthy) in enumerate([(0, True), (2, True), (4, False)]):
        facts = {"healthy": healthy, "reason": "interval", "best_commit": 1}
        checkpoints.write_commit(folder.checkpoints, number, step, lambda _: None, facts)
    return folder


@pytest.fixture
def held(run: RunFolder) -> Iterator[RunFolder]:
    """Return a run that a process seems to train: this one holds it, and answers nothing."""
    with run.hold():
        yield run


def sent(run: RunFolder) -> list[object]:
    return [one.action or one.undo for one in inbox.read_all(run)]


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ("pause", does.Pause()),
        ("save", does.SaveNow()),
        ("evaluate", does.EvaluateNow()),
        ("stop", does.Stop()),
        ("lr 1e-5", does.SetLearningRate(1e-5)),
        ("clip 0.5", does.SetMaxGradNorm(0.5)),
        ("clip off", does.SetMaxGradNorm(float("inf"))),
        ("rollback 2", does.Rollback(commit=1)),
        ("rollback 0001-step-2", does.Rollback(commit=1)),
        ("rollback best", does.Rollback(commit=1)),
        ("rollback last", does.Rollback(commit=1)),
        ("exclude 4 6", does.ExcludeRows([4, 6])),
    ],
)
def test_words_become_requests(held: RunFolder, words: str, action: does.Action) -> None:
    assert cli.main(["ctl", "reviews", *words.split(), "--no-wait"]) == 0
    assert sent(held) == [action]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lr", "takes one value, not 0"),
        ("lr fast", "`fast` is no number"),
        ("lr nan", "a learning rate can't be nan"),
        ("lr -1", ""),
        ("lr 0", "a learning rate can't be 0"),
        ("lr 1e999", "a learning rate can't be inf"),
        ("lr 50", "give a number above 0 and up to 10; it is 0.0001 now"),
        ("clip 0", "can't be clipped at 0"),
        ("rollback 4", "a fault was open when it was made"),
        ("rollback 3", "there are 0 (step 0), 1 (step 2)"),
        ("rollback worst", "there are 0 (step 0), 1 (step 2)"),
        ("exclude", "no row is named"),
        ("exclude 4 x", "`x` is no row's id"),
        ("exclude 99", "the training split has no row 99"),
        ("exclude 4 5 6 7", "no row would be left"),
        ("include 4", "none of these rows is excluded"),
        ("resume", "it is not paused"),
        ("pause now", "takes no value"),
        ("undo", "nothing that was asked for can be taken back"),
        ("undo 6f", "there is no request `6f`"),
        ("tag " + "x" * 41, "is no tag"),
        ("dance", ""),
    ],
)
def test_what_can_t_be_is_not_asked(
    held: RunFolder, capsys: pytest.CaptureFixture[str], words: str, told: str
) -> None:
    assert cli.main(["ctl", "reviews", *words.split()]) == 2
    assert told in capsys.readouterr().err
    assert not held.inbox.exists()


@pytest.mark.parametrize(
    ("ended", "fix"),
    [
        (None, "tunewell resume reviews"),
        (Ended(step=5, status="interrupted", reason="SIGTERM"), "tunewell resume reviews"),
        (Ended(step=9, status="completed", reason="all steps done"), "tunewell branch reviews@last"),
    ],
)
def test_a_run_that_nobody_trains_is_not_asked_but_can_be_called(
    run: RunFolder, capsys: pytest.CaptureFixture[str], ended: Ended | None, fix: str
) -> None:
    if ended is not None:
        with run.log.open("ab") as file:
            file.write(encode(ended))
    assert cli.main(["ctl", "reviews", "pause"]) == 2
    told = capsys.readouterr().err
    assert "nobody trains `reviews` now" in told
    assert fix in told
    assert cli.main(["ctl", "reviews", "tag", "baseline", "long"]) == 0
    assert cli.main(["ctl", "reviews", "note", "the first that works", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "tags": ["baseline", "long"],
        "note": "the first that works",
    }
    assert inbox.label(inbox.read_all(run)).tags == ["baseline", "long"]


def answers(run: RunFolder, outcome: str, detail: str) -> threading.Thread:
    """Answer the first request of `run` as a run does, from another thread."""

    def answer() -> None:
        box, asked = Inbox(run.inbox), []
        while not asked:
            asked, _ = box.read()
        (request,) = asked
        assert request.action is not None
        with run.log.open("ab", buffering=0) as log:
            if outcome == "applied":
                log.write(
                    encode(
                        Requested(step=6, id=request.id, by="x", asked=request.time, action=request.action)
                    )
                )
            log.write(
                encode(
                    Acted(
                        step=6,
                        action=request.action,
                        by="x",
                        reason="asked for",
                        outcome=outcome,
                        detail=detail,
                        request=request.id,
                        undo=does.ScaleLearningRate(2.0),
                    )
                )
            )

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_the_answer_is_waited_for_and_told(held: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    thread = answers(held, "applied", "learning rate 1e-04 → 1e-05")
    assert cli.main(["ctl", "reviews", "lr", "1e-5"]) == 0
    thread.join(30)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("requested: to set the learning rate to 1e-05 (")
    assert lines[-2:] == [
        "applied at step 6: learning rate 1e-04 → 1e-05",
        "next: tunewell ctl reviews undo",
    ]


def test_a_refusal_is_a_failure(held: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    thread = answers(held, "refused", "the schedule's rate is 0 now")
    assert cli.main(["ctl", "reviews", "lr", "1e-5", "--json"]) == 1
    thread.join(30)
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["why"], told["step"]) == ("refused", "the schedule's rate is 0 now", 6)


def test_no_answer_in_time_is_said(held: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ctl", "reviews", "save", "--timeout", "0.2"]) == 1
    assert "Not answered in 0.2 s" in capsys.readouterr().err


@pytest.mark.slow
def test_a_real_run_is_steered_from_another_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, write_reviews: Callable[..., Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_reviews("reviews.jsonl", count=240)
    settings = {
        "data": {"train": "reviews.jsonl", "validation": 0.1, "test": 0.1, "text": "text", "label": "label"},
        "model": str(tiny_model), "problem": "single_label", "num_epochs": 500, "learning_rate": 1e-3,
        "lr_scheduler": "cosine", "eval_steps": 100, "warmup_ratio": 0, "num_threads": 1, "name": "steered",
    }  # fmt: skip
    Path("recipe.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "tunewell"]
    with Path("told.txt").open("w") as told:
        training = subprocess.Popen([*command, "train", "recipe.yaml"], stdout=told, stderr=told)
    try:
        _steer(command, training)
    finally:
        training.kill()
        training.wait()


def _steer(command: list[str], training: subprocess.Popen[bytes]) -> None:
    run = RunFolder(Path("runs") / "steered")
    seen = _until(run, lambda record: isinstance(record, Step) and record.step > 20, training)
    assert seen

    def ctl(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [*command, "ctl", "steered", *words, "--json"],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode in (0, 1), done.stderr
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    paused = ctl("pause")
    assert (paused["state"], paused["can_undo"]) == ("applied", True)
    listed = subprocess.run([*command, "runs"], check=True, capture_output=True, text=True)
    assert "paused" in listed.stdout
    assert "next: tunewell ctl steered resume" in listed.stderr
    why = subprocess.run([*command, "why", "steered"], check=True, capture_output=True, text=True)
    assert "stands paused at step" in why.stdout
    used = _processor_seconds(training.pid)
    assert ctl("lr", "1e-5")["state"] == "applied"
    assert ctl("save")["state"] == "applied"
    step = int(str(paused["step"]))
    assert checkpoints.commits(run.checkpoints)[-1].step == step
    time.sleep(1.0)  # measured over this: a run that waits leaves the processor to others
    assert _processor_seconds(training.pid) - used < 3.0
    assert ctl("resume")["step"] == step
    seen = _until(run, lambda record: isinstance(record, Step) and record.step > step, training)
    rates = [one.learning_rate for one in seen if isinstance(one, Step) and one.step > step]
    assert rates[0] < 1.01e-5
    assert ctl("undo")["state"] == "applied"
    stopped = ctl("stop")
    assert stopped["state"] == "applied"
    assert training.wait(120) == 0, Path("told.txt").read_text()
    log = list(logs.read(run.log))
    [end] = [one for one in log if isinstance(one, Ended)]
    assert (end.status, end.step) == ("completed", stopped["step"])
    assert end.reason.endswith("asked for it")
    assert [one.reason for one in log if isinstance(one, Committed)].count("pause") == 1
    assert "paused" in Path("told.txt").read_text() or "waits after step" in Path("told.txt").read_text()
    assert (run.path / "model" / "config.json").is_file()


def _until(run: RunFolder, holds: Callable[[Record], bool], process: subprocess.Popen[bytes]) -> list[Record]:
    """Follow the log until a record of it `holds`."""
    tail, seen = Tail(run.log), list[Record]()
    while not any(holds(record) for record in seen):
        assert process.poll() is None, Path("told.txt").read_text()
        seen += tail.read()
        time.sleep(0.05)
    return seen


def _processor_seconds(pid: int) -> float:
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

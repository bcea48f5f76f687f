"""A run watched: plain lines, live lines, JSON lines, the result, exit codes. Records come from a list."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tunewell.actions import ScaleLearningRate
from tunewell.cli._live import Live
from tunewell.cli._plain import Plain
from tunewell.cli._progress import Progress
from tunewell.cli._watch import exit_code, watch
from tunewell.problems import Problem, RunError
from tunewell.records import Acted, Ended, Eval, Finding, Note, Record, Rewound, Started, Step, decode
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter


def a_run(*, steps: int = 40, end: Ended | None = None, sick: bool = True) -> list[Record]:
    rows = {"train": 640, "validation": 64, "test": 64}
    records: list[Record] = [
        Started(
            time=100.0,
            run="demo",
            recipe_hash="",
            data_hash="",
            fingerprint={},
            total_steps=steps,
            batches_per_epoch=20,
            num_rows=rows,
            trainable_parameters=22_700_000,
            total_parameters=22_700_000,
        ),
        evaluation(0, "test", 0.5),
        evaluation(0, "validation", 0.5),
    ]
    for number in range(1, steps + 1):
        loss = math.nan if number == 30 and sick else 0.7 - number / 100
        records.append(
            Step(
                time=100.0 + number,
                step=number,
                cursor=number,
                epoch=number / 20,
                stage=0,
                loss=loss,
                learning_rate=1e-4,
                gradient_norm=1.0,
                skipped=math.isnan(loss),
                rows=32,
                tokens=640,
                seconds=0.25,
            )
        )
        if number == 30 and sick:
            records += incident(number)
    records.append(evaluation(steps, "validation", 0.8, best=True))
    records.append(evaluation(steps, "test", 0.78))
    records.append(Note(step=steps, text="plateau: checked and fine", topic="verdict"))
    records.append(
        Note(step=steps, text="overfitting: could not be checked: one evaluation", topic="verdict")
    )
    records.append(
        end or Ended(time=200.0, step=steps, status="completed", reason="all steps done", seconds=100.0)
    )
    return records


def evaluation(step: int, split: str, accuracy: float, best: bool = False) -> Eval:
    metrics = {"accuracy": accuracy}
    return Eval(
        step=step, epoch=step / 20, split=split, loss=0.5, metrics=metrics, rows=64, seconds=1.0, best=best
    )


def incident(step: int) -> list[Record]:
    return [
        Finding(
            step=step,
            monitor="non_finite",
            code="non_finite",
            severity="critical",
            summary="The loss is not a number.",
            meaning="The update was refused.",
            advice=["Look at row 7."],
        ),
        Acted(
            step=step,
            action=ScaleLearningRate(0.5),
            by="cautious",
            reason="non_finite",
            outcome="applied",
            detail="learning rate 1e-04 → 5e-05",
            code="non_finite",
        ),
    ]


def folder_of(records: list[Record], path: Path, *, model: bool = True) -> Path:
    """Write the run as the driver does: its folder and its log."""
    run = RunFolder.create(path / "demo", "data: {train: a}\n", {})
    log = LogWriter(run.log)
    for record in records:
        log.append(record)
    log.close()
    if model:
        run.model.mkdir()
    return run.path


def test_plain_lines_are_few_and_tell_every_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = a_run()
    run = folder_of(records, tmp_path)
    assert watch(records, run, as_json=False) == 0
    told = capsys.readouterr()
    assert not told.out
    lines = told.err.splitlines()
    steps = [line for line in lines if line.startswith("step ") and "epoch" in line]
    assert 18 <= len(steps) <= 21
    assert (
        "step 2/40 (5%)  epoch 0.10  loss 0.6800 (smoothed 0.6849)  lr 0.0001  128 rows/s  2,560 tokens/s"
        in steps[0]
    )
    assert "✖ step 30  non_finite: The loss is not a number. What to do: Look at row 7." in lines
    assert "→ step 30  cautious: learning rate 1e-04 → 5e-05; because non_finite" in lines
    assert any("loss nan" in line for line in steps)


def test_the_result_tells_scores_model_monitors_and_next_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = a_run()
    run = folder_of(records, tmp_path)
    watch(records, run, as_json=False)
    told = capsys.readouterr().err.split("\n\n")[-1]
    assert told.splitlines() == [
        "demo completed at step 40 of 40 after 1 min 40 s: all steps done",
        "  test       accuracy 0.500 → 0.780 on 64 rows (before fine-tuning → after)",
        "  validation accuracy 0.500 → 0.800 on 64 rows (before fine-tuning → after)",
        *wrapped("  model      ", f"{run}/model"),
        "  monitors   1 finding; 1 checked and fine; 1 could not be checked",
        "    ▲ step 30  non_finite: The loss is not a number.",
        "      → learning rate 1e-04 → 5e-05",
        "    ? overfitting: one evaluation",
        f"next: tunewell why {run}",
        f'next: tunewell predict {run} "your text"',
    ]


def wrapped(head: str, text: str) -> list[str]:
    return [head + text] if len(head + text) <= 100 else [head.rstrip(), " " * len(head) + text]


def test_a_healthy_run_says_how_many_monitors_looked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = a_run(sick=False)
    watch(records, folder_of(records, tmp_path), as_json=False)
    told = capsys.readouterr().err
    assert "1 monitors checked, nothing found; 1 could not be checked" in told
    assert "tunewell why" not in told


ENDS = {
    ("completed", "all steps done"): 0,
    ("stopped", "divergence"): 3,
    ("interrupted", "SIGINT"): 130,
    ("interrupted", "SIGTERM"): 143,
    ("failed", "RuntimeError: boom"): 1,
}


@pytest.mark.parametrize("status", ENDS, ids="-".join)
def test_exit_codes_tell_how_a_run_ended(
    status: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    word, reason = status
    end = Ended(step=40, status=word, reason=reason)  # type: ignore[arg-type]
    records = a_run(end=end)
    run = folder_of(records, tmp_path, model=word == "completed")
    assert watch(records, run, as_json=False) == ENDS[status]
    told = capsys.readouterr().err
    assert (f"next: tunewell resume {run}" in told) == (word in {"interrupted", "failed"})


def test_json_lines_are_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = a_run()
    assert watch(records, tmp_path, as_json=True) == 0
    told = capsys.readouterr()
    back = [decode(line) for line in told.out.splitlines()]
    assert list(map(repr, back)) == list(map(repr, records))
    assert not told.err


def test_a_resume_begins_where_its_checkpoint_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = a_run()
    run = folder_of(records, tmp_path)
    before = [record for record in records if not isinstance(record, Step) or record.step <= 30]
    again = [record for record in records if isinstance(record, Step) and record.step > 20]
    resumed = Rewound(step=0, to_step=20, commit=2, reason="resume")
    watch([resumed, *again, records[-1]], run, as_json=False, history=before)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "resumed at step 20 from checkpoint 2"
    assert lines[2].startswith("step 21/40 (52%)")


def screen_of(records: list[Record], width: int = 100) -> str:
    progress = Progress()
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    view = Live(progress, console)
    for now, record in enumerate(records):
        progress.take(record, float(now))
    console.print(view.render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_live_lines_say_where_the_run_stands() -> None:
    told = screen_of(a_run()[:25])
    assert "55% step 22/40" in told
    assert "loss 0.4800 (smoothed" in told
    assert "lr 0.0001   epoch 1.10   128 rows/s   2,560 tokens/s" in told
    assert "validation accuracy 0.500 at step 0 (best 0.500 at step 0)" in told
    assert "● no finding so far" in told
    assert " left" in told


def test_the_live_lines_show_the_latest_finding_and_action() -> None:
    records = a_run()
    assert "✖ " not in screen_of(records[:33])
    found = next(i for i, record in enumerate(records) if isinstance(record, Finding))
    assert "▲ non_finite at step 30: The loss is not a number." in screen_of(records[: found + 1])
    assert "→ cautious at step 30: learning rate 1e-04 → 5e-05" in screen_of(records[: found + 2])


def test_the_live_view_waits_in_words() -> None:
    assert "Reading the data and the model" in screen_of([])


def test_the_live_view_prints_events_and_leaves_a_clean_screen() -> None:
    progress = Progress()
    screen = io.StringIO()
    console = Console(file=screen, width=100, force_terminal=True, color_system=None)
    with Live(progress, console) as view:
        for record in a_run():
            progress.take(record, 0.0)
            view.show(record)
    told = screen.getvalue()
    assert "✖ step 30  non_finite: The loss is not a number." in told
    assert told.count("validation: accuracy") == 2


def test_views_are_closed_when_training_breaks(tmp_path: Path) -> None:
    def broken() -> Iterator[Record]:
        yield from a_run()[:5]
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        watch(broken(), tmp_path, as_json=False)


def test_plain_needs_no_start_record(capsys: pytest.CaptureFixture[str]) -> None:
    with Plain(Progress()) as view:
        view.show(evaluation(3, "validation", 0.5))
    assert "validation: accuracy 0.500" in capsys.readouterr().err


def test_a_disk_that_fills_up_in_mid_run_is_a_failure_that_can_be_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def records(begun: int) -> Iterator[Record]:
        yield from a_run()[:begun]
        raise RunError(Problem("disk", "can't write the log: no space left on the disk"))

    assert watch(records(3), tmp_path, as_json=False) == 1
    told = capsys.readouterr().err
    assert "no space left on the disk" in told
    assert f"what is saved in {tmp_path} is safe" in told
    assert told.endswith(f"next: tunewell resume {tmp_path}\n")
    with pytest.raises(RunError):
        watch(records(0), tmp_path, as_json=False)


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(tmp_path / "run", "data: {train: a.csv}\n", {})
    log = LogWriter(run.log)
    read, write = os.pipe()
    seen = 0

    def records() -> Iterator[Record]:
        nonlocal seen
        for record in a_run():
            log.append(record)
            seen += 1
            if seen == 10:
                os.close(read)
            yield record
        log.close()

    with os.fdopen(write, "w", buffering=1) as pipe:
        monkeypatch.setattr("sys.stderr", pipe)
        assert watch(records(), run.path, as_json=False) == 0
    assert seen == len(a_run())


def test_a_closed_terminal_has_its_own_exit_code() -> None:
    def ended(reason: str) -> int:
        return exit_code(Ended(step=3, status="interrupted", reason=reason))

    assert [ended("SIGHUP"), ended("SIGINT"), ended("SIGTERM")] == [129, 130, 143]

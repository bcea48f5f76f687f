"""Logs of other tools, as files: what is read of them, and how those are refused that can't be."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunewell.integrations.logs import diagnosed, read
from tunewell.problems import LogError
from tunewell.records import Ended, Eval, Note, Record, Rewound, Started, Step

SAMPLES = Path(__file__).parent / "samples"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def records_of(path: Path, **asked: str) -> list[Record]:
    return diagnosed(read(path), asked)


def losses(records: Sequence[Record]) -> list[tuple[int, float]]:
    return [(record.step, record.loss) for record in records if isinstance(record, Step)]


def notes(records: Sequence[Record]) -> str:
    return " ".join(
        record.text for record in records if isinstance(record, Note) and record.topic == "source"
    )


def test_a_trainer_state_is_read_with_its_evaluations_and_what_a_config_beside_it_tells(
    tmp_path: Path,
) -> None:
    checkpoint = tmp_path / "out" / "checkpoint-20"
    checkpoint.mkdir(parents=True)
    history = [
        {"epoch": 0.5, "grad_norm": 1.5, "learning_rate": 1e-3, "loss": 0.7, "step": 10},
        {"epoch": 0.5, "eval_accuracy": 0.5, "eval_loss": 0.69, "eval_runtime": 0.5, "eval_samples_per_second": 400.0,
         "eval_steps_per_second": 50.0, "step": 10},
        {"epoch": 1.0, "grad_norm": 1.0, "learning_rate": 5e-4, "loss": 0.6, "step": 20},
        {"epoch": 1.0, "train_loss": 0.65, "train_runtime": 3.0, "step": 20},
    ]  # fmt: skip
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}
    (checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": history, "max_steps": 20}))
    (checkpoint / "config.json").write_text(json.dumps(config))
    for place in (tmp_path / "out", checkpoint, checkpoint / "trainer_state.json"):
        records = records_of(place)
        started = next(record for record in records if isinstance(record, Started))
        assert (started.num_classes, started.total_steps, started.batches_per_epoch) == (3, 20, 20)
        first, second = (record for record in records if isinstance(record, Step))
        assert (first.loss, first.gradient_norm, first.learning_rate, first.epoch) == (0.7, 1.5, 1e-3, 0.5)
        assert second.step == 20
        (evaluation,) = (record for record in records if isinstance(record, Eval))
        assert (evaluation.loss, evaluation.metrics, evaluation.rows) == (0.69, {"accuracy": 0.5}, 200)
        assert evaluation.train_loss == 0.7
        assert isinstance(records[-1], Note)
        assert any(isinstance(record, Ended) and record.status == "completed" for record in records)


def test_the_checkpoint_of_most_steps_is_taken_and_a_state_beside_them_before_it(tmp_path: Path) -> None:
    for name, loss in (("checkpoint-9", 0.9), ("checkpoint-10", 0.1)):
        (tmp_path / name).mkdir()
        state = {"log_history": [{"step": 9, "loss": loss}]}
        (tmp_path / name / "trainer_state.json").write_text(json.dumps(state))
    assert losses(records_of(tmp_path)) == [(9, 0.1)]
    (tmp_path / "trainer_state.json").write_text('{"log_history": [{"step": 12, "loss": 0.05}]}')
    assert losses(records_of(tmp_path)) == [(12, 0.05)]


def test_a_loss_of_zero_that_the_trainer_logged_for_a_nan_is_read_as_nan() -> None:
    records = records_of(SAMPLES / "trainer_state.json")
    first_bad = next(step for step, loss in losses(records) if math.isnan(loss))
    assert first_bad == 155
    assert all(math.isnan(loss) for step, loss in losses(records) if step >= 155)
    assert "The Trainer logged a loss of 0.0 30 times (first at step 155)" in notes(records)


def test_a_loss_that_came_down_to_zero_is_left_alone(tmp_path: Path) -> None:
    history = [
        {"step": step, "loss": max(0.0, 0.02 - step * 1e-3), "grad_norm": 1e-4} for step in range(1, 40)
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    assert all(math.isfinite(loss) for _, loss in losses(records_of(tmp_path)))


def test_lightnings_table_has_rows_of_both_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "lightning_logs" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_bytes((SAMPLES / "metrics.csv").read_bytes())
    records = records_of(tmp_path)
    assert losses(records)[0] == (9, pytest.approx(2.3255, abs=1e-3))
    evals = [record for record in records if isinstance(record, Eval)]
    assert len(evals) == 12
    assert evals[0].step == 43
    assert evals[0].rows == 400  # every accuracy is a share of as many
    assert evals[0].train_loss == pytest.approx(sum(loss for _, loss in losses(records)[:4]) / 4)


def test_a_table_of_epochs(tmp_path: Path) -> None:
    records = records_of(SAMPLES / "training.csv")
    assert [step for step, _ in losses(records)] == list(range(1, 31))
    assert "a step below is an epoch" in notes(records)
    assert "counts steps from 0" in notes(records)
    evals = [record for record in records if isinstance(record, Eval)]
    assert [evaluation.train_loss for evaluation in evals] == [loss for _, loss in losses(records)]


def test_an_export_of_wandb_counts_updates_not_calls() -> None:
    records = records_of(SAMPLES / "history.jsonl")
    assert losses(records)[0][0] == 10
    assert "`train/global_step` as step" in notes(records)
    assert sum(isinstance(record, Eval) for record in records) == 20


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("step,loss", "5,0.5"),
        ("Step,Training Loss", "5,0.5"),
        ("iteration;trainLoss", "5;0.5"),
        ("global_step\ttrain/loss_step\ttrain/loss_epoch", "5\t0.5\t"),
        ("Wall time,Step,Value", "1700000000.0,5,0.5"),
        ("Step,bert-run - train/loss,bert-run - train/loss__MIN", "5,0.5,0.5"),
        ("step,loss/box,total_loss", "5,9.0,0.5"),
        ("step,lr,nll_loss", "5,9.0,0.5"),
    ],
)
def test_names_are_guessed(tmp_path: Path, header: str, row: str) -> None:
    assert losses(records_of(written(tmp_path / "log.csv", f"{header}\n{row}\n"))) == [(5, 0.5)]


def test_a_guess_can_be_overruled(tmp_path: Path) -> None:
    log = written(tmp_path / "log.csv", "n,loss,objective\n5,1.0,0.5\n")
    assert losses(records_of(log, loss="objective", step="n")) == [(5, 0.5)]
    with pytest.raises(LogError, match="did you mean `objective`"):
        records_of(log, loss="objectiv")
    with pytest.raises(LogError, match="no role `los`"):
        records_of(log, los="objective")


@pytest.mark.parametrize("spelled", ['"NaN"', "NaN", "null"])
def test_nan_in_all_its_spellings(tmp_path: Path, spelled: str) -> None:
    lines = [f'{{"step": {step}, "loss": {0.5 if step < 8 else spelled}}}' for step in range(1, 11)]
    records = records_of(written(tmp_path / "log.jsonl", "\n".join(lines) + "\n"))
    assert [step for step, loss in losses(records) if math.isnan(loss)] == [8, 9, 10]


def test_an_empty_cell_of_a_sparse_column_is_no_nan(tmp_path: Path) -> None:
    rows = [f"{step},{0.5 if step % 5 == 0 else ''},0.001" for step in range(1, 51)]
    records = records_of(written(tmp_path / "log.csv", "step,loss,lr\n" + "\n".join(rows) + "\n"))
    assert len(losses(records)) == 10
    assert all(math.isfinite(loss) for _, loss in losses(records))


def test_a_run_that_went_on_from_an_earlier_step_is_a_resume(tmp_path: Path) -> None:
    steps = [*range(1, 30), *range(20, 40)]
    rows = "".join(f"{step},{1 / step}\n" for step in steps)
    records = records_of(written(tmp_path / "log.csv", f"step,loss\n{rows}step,loss\n40,0.1\n"))
    (rewound,) = (record for record in records if isinstance(record, Rewound))
    assert (rewound.step, rewound.to_step) == (29, 19)
    assert losses(records)[-1] == (40, 0.1)


def test_event_files_by_tag(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(20):
            writer.add_scalar("Loss/train", 1.0 - step / 40, step)
            writer.add_scalar("lr", 1e-3, step)
            if step % 5 == 4:
                writer.add_scalar("Loss/val", 0.5, step)
        writer.add_scalar("Loss/train", math.nan, 20)
        writer.add_text("note", "no number")
    for place in (tmp_path, next(tmp_path.glob("*tfevents*"))):
        records = records_of(place)
        assert losses(records)[0] == (1, 1.0)
        assert math.isnan(losses(records)[-1][1])
        assert [record.step for record in records if isinstance(record, Eval)] == [5, 10, 15, 20]
        assert "counts steps from 0" in notes(records)


def test_folders_of_splits_and_curves_are_one_run_and_others_are_several(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for split in ("train", "validation"):
        with SummaryWriter(str(tmp_path / "keras" / split)) as writer:
            writer.add_scalar("epoch_loss", 0.5 if split == "train" else 0.7, 3)
    records = records_of(tmp_path / "keras")
    assert losses(records) == [(3, 0.5)]
    assert [record.loss for record in records if isinstance(record, Eval)] == [pytest.approx(0.7)]
    with SummaryWriter(str(tmp_path / "curves")) as writer:
        writer.add_scalars("Loss", {"train": 0.5, "val": 0.7}, 3)
    assert losses(records_of(tmp_path / "curves")) == [(3, 0.5)]
    for name in ("first", "second"):
        with SummaryWriter(str(tmp_path / "several" / name)) as writer:
            writer.add_scalar("loss", 0.5, 1)
    with pytest.raises(LogError, match="name one of its folders: first, second"):
        records_of(tmp_path / "several")


def test_a_compressed_log_and_one_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"step,loss\n1,0.5\n"))
    (tmp_path / "b.csv").write_bytes("step,loss\n1,0.5\n".encode("utf-16"))
    for name in ("a.csv.gz", "b.csv"):
        assert losses(records_of(tmp_path / name)) == [(1, 0.5)]


@pytest.mark.parametrize(
    "content", [[{"loss": 0.5}, {"loss": 0.4}], {"loss": [0.5, 0.4], "val_loss": [0.6, 0.7]}]
)
def test_json_of_a_whole_run(tmp_path: Path, content: Any) -> None:
    log = written(tmp_path / "history.json", json.dumps(content))
    assert losses(records_of(log)) == [(1, 0.5), (2, 0.4)]


@pytest.mark.parametrize(
    ("name", "text", "line", "told"),
    [
        ("log.csv", "step,loss\n1,0.5\n2,abc\n", 3, "`abc` is no number"),
        ("log.csv", "step,loss\n1,0.5,7\n", 2, "3 cells where the first line names 2 columns"),
        ("log.csv", "1,0.5\n2,0.4\n", 1, "no line with the names of columns"),
        ("log.csv", "", None, "the file is empty"),
        ("log.csv", "step,colour\n1,2\n", None, "no loss is in this log"),
        ("log.csv", "step,loss\n1,\n", None, "no number is in this log"),
        ("log.jsonl", '{"loss": 1}\n{"loss": \n{"loss": 2}\n', 2, "not valid JSON"),
        ("log.jsonl", "[1, 2]\n{}\n", 1, "an object is wanted in each line"),
        ("log.json", '{"a": \n', 2, "not valid JSON"),
        ("log.json", '{"a": 1}', None, "no log of a training in it"),
        ("trainer_state.json", '{"log_history": 3}', None, "no `log_history`"),
        ("trainer_state.json", '{"log_history": []}', None, "`log_history` is empty"),
        ("log.txt", "loss 1", None, "no log is known by the ending `.txt`"),
        ("log.jsonl", '{"type":"started"}\n', None, "this is a run of Tunewell itself"),
    ],
)
def test_bad_files_are_told_with_their_line(
    tmp_path: Path, name: str, text: str, line: int | None, told: str
) -> None:
    with pytest.raises(LogError) as refused:
        records_of(written(tmp_path / name, text))
    (problem,) = refused.value.problems
    assert told in problem.message
    assert problem.line == line
    assert problem.file


def test_places_without_a_log(tmp_path: Path) -> None:
    for place, told in (
        (tmp_path, "no log is in this folder"),
        (tmp_path / "none", "no such file or folder"),
    ):
        with pytest.raises(LogError, match=told):
            read(place)
    for name in ("a.csv", "b.csv"):
        written(tmp_path / name, "step,loss\n1,0.5\n")
    with pytest.raises(LogError, match=r"name one of them: a\.csv, b\.csv"):
        read(tmp_path)
    (tmp_path / "bad.csv").write_bytes(b"step,loss\n1,\xff\n")
    with pytest.raises(LogError, match="not UTF-8") as refused:
        read(tmp_path / "bad.csv")
    assert refused.value.problems[0].line == 2


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    for name, text in (
        ("log.csv", "step,loss\n1,0.5\n2"),
        ("log.jsonl", '{"step": 1, "loss": 0.5}\n{"step": 2, "lo'),
    ):
        records = records_of(written(tmp_path / name, text))
        assert losses(records) == [(1, 0.5)]
        assert "was cut short and is left out" in notes(records)

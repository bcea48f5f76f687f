"""What a run keeps of each row, and what of it leads from a point of the curve back to its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import until
from tunewell.actions import ExcludeRows, Rollback
from tunewell.data.point_rows import read_order, rows_of_point
from tunewell.problems import RunError
from tunewell.recipe import Recipe
from tunewell.records import Eval, Record, Step
from tunewell.runs import inbox
from tunewell.runs import log as logs
from tunewell.runs.folder import RunFolder
from tunewell.runs.row_history import read_rows
from tunewell.runs.row_predictions import read_predictions
from tunewell.runs.timeline import timeline
from tunewell.training import driver

Make = Callable[..., Recipe]


def steps(records: list[Record]) -> list[Step]:
    return [record for record in records if isinstance(record, Step)]


def test_points_of_the_curve_lead_to_their_rows_and_evaluations_to_what_they_said(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    records = list(driver.train(tiny_recipe(num_epochs=2, warmup_ratio=0)))
    run = RunFolder(tmp_path / "run")
    for step in (steps(records)[2], steps(records)[-1]):
        point = rows_of_point(run, records, step.step)
        assert point is not None
        assert (point.cursor, len(point.rows)) == (step.cursor, step.rows)
        losses = [one.then for one in point.rows if one.then is not None]
        assert sum(losses) / len(losses) == pytest.approx(step.loss, rel=1e-5)
        assert losses == sorted(losses, reverse=True)
        assert sum(one.share or 0.0 for one in point.rows) == pytest.approx(1.0)
        guesses = [one.predicted_then for one in point.rows]
        assert all(guess is not None and guess.predicted in (0.0, 1.0) for guess in guesses)
        assert all(guess is not None and 0.5 <= (guess.probability or 0) <= 1.0 for guess in guesses)
    first = rows_of_point(run, records, 1)
    assert first is not None
    assert any(one.then != one.now for one in first.rows), "each row came again in the second epoch"
    assert rows_of_point(run, records, 99) is None

    predictions = read_predictions(run.rows)
    evals = [one for one in records if isinstance(one, Eval) and one.split == "validation"]
    assert [one.step for one in predictions.evaluations] == [one.step for one in evals][
        : len(predictions.evaluations)
    ]
    assert len(predictions.validation_rows) == evals[0].rows
    for number, found in enumerate(predictions.evaluations):
        said = [predictions.of_validation(row)[number][2] for row in predictions.validation_rows]
        losses = [guess.loss for guess in said if guess.loss is not None]
        assert sum(losses) / len(losses) == pytest.approx(evals[number].loss, rel=1e-4)
        assert found.cursor == found.step
    assert predictions.of_validation(10**6) == predictions.of_training(10**6) == []


@pytest.mark.parametrize(
    "changes",
    [{"dropout": 0.1}, {"batch_size": 4, "gradient_accumulation_steps": 4, "max_tokens_per_batch": 128}],
)
def test_a_run_that_was_cut_keeps_what_the_whole_one_keeps(
    tiny_recipe: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    common = {"num_epochs": 2, "save_steps": 3, "eval_steps": 4, **changes}
    list(driver.train(tiny_recipe(output_dir=str(tmp_path / "whole"), **common)))
    until(driver.train(tiny_recipe(**common)), 10)
    list(driver.resume(tmp_path / "run"))
    whole, cut = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "rows").iterdir()}
        for name in ("whole", "run")
    )
    assert cut.keys() == whole.keys()
    assert [name for name in whole if cut[name] != whole[name]] == []
    assert {"predicted-0000.bin", "predicted-0001.bin", "order.bin", "lengths.bin"} < whole.keys()


def test_rows_that_were_out_and_steps_that_were_undone_are_left_out(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    out: list[int] = []
    for record in driver.train(tiny_recipe(num_epochs=2, save_steps=2, save_total_limit=9, eval_steps=3)):
        if isinstance(record, Step) and record.step == 5 and not out:
            rows = read_rows(run.rows)
            assert rows is not None
            out = rows[:40]
            inbox.send(run, "anna", action=ExcludeRows(out))
            inbox.send(run, "anna", action=Rollback(commit=1))
    log = list(logs.read(run.log))
    for step in steps(timeline(log)):
        point = rows_of_point(run, log, step.step)
        assert point is not None
        assert len(point.rows) == step.rows
        assert set(out).isdisjoint(one.row for one in point.rows) == (step.step > 2)
    undone = [(one.step, one.cursor) for one in read_predictions(run.rows).evaluations]
    assert len({cursor for _, cursor in undone}) == len(undone), (
        "an evaluation that was undone keeps its file"
    )


def test_numbers_are_predicted_without_a_probability_and_several_labels_not_at_all(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(f'{{"text": "good film {n % 7}", "label": {n % 5}.5}}\n' for n in range(80)))
    data = {"train": [str(path)], "validation": 0.2}
    list(driver.train(tiny_recipe(data, problem="regression", max_steps=4)))
    predictions = read_predictions(tmp_path / "run" / "rows")
    _, _, guess = predictions.of_validation(next(iter(predictions.validation_rows)))[-1]
    assert guess.predicted is not None
    assert guess.probability is None


def test_a_run_of_before_has_no_order_and_a_damaged_one_is_named(tiny_recipe: Make, tmp_path: Path) -> None:
    records = list(driver.train(tiny_recipe(max_steps=2)))
    run = RunFolder(tmp_path / "run")
    lengths = run.rows / "lengths.bin"
    lengths.write_bytes(lengths.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"lengths\.bin is damaged"):
        rows_of_point(run, records, 1)
    lengths.unlink()
    assert read_order(run.rows) is None
    assert rows_of_point(run, records, 1) is None

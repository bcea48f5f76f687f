"""A run while it trains: averages, early stopping, plateaus, signals, checkpoints kept."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from safetensors.torch import load_file

from conftest import measured
from tunewell.actions import ScaleLearningRate, Stop
from tunewell.recipe import Recipe
from tunewell.records import Acted, Committed, Ended, Eval, Note, Record, Rewound, StageBegan, Started, Step
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.training import driver

Make = Callable[..., Recipe]
R = TypeVar("R", bound=Record)


def train(recipe: Recipe) -> list[Record]:
    return list(driver.train(recipe))


def of(records: list[Record], kind: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


def interrupt(records: Iterator[Record], where: Callable[[Record], bool]) -> list[Record]:
    """Send Ctrl-C to this process at the first record that `where` names; return all records."""
    seen, sent = [], False
    for record in records:
        seen.append(record)
        if not sent and where(record):
            signal.raise_signal(signal.SIGINT)
            sent = True
    assert sent
    return seen


def test_the_record_of_a_whole_run(tiny_recipe: Make, tmp_path: Path) -> None:
    records = train(
        tiny_recipe({"test": 0.1}, stages=[{"train": "head", "num_epochs": 1}, {"num_epochs": 1}])
    )
    assert list(logs.read(tmp_path / "run" / "log.jsonl")) == records
    [started], [end] = of(records, Started), of(records, Ended)
    assert records[0] is started
    assert records[-1] is end
    steps = of(records, Step)
    assert [step.step for step in steps] == list(range(1, started.total_steps + 1))
    assert sum(step.rows for step in steps) == 2 * started.num_rows["train"]
    assert [(stage.name, stage.first_step) for stage in of(records, StageBegan)] == [("head", 0), ("all", 7)]
    assert [stage.trainable_parameters < stage.total_parameters for stage in of(records, StageBegan)] == [
        True,
        False,
    ]
    evals = [(one.split, one.step) for one in of(records, Eval)]
    assert evals == [("test", 0), ("validation", 0), ("validation", 7), ("validation", 14), ("test", 14)]
    assert [one.train_loss is None for one in of(records, Eval)] == [True, True, False, False, True]
    first_epoch = steps[:7]
    mean = sum(step.loss * step.rows for step in first_epoch) / sum(step.rows for step in first_epoch)
    assert of(records, Eval)[2].train_loss == pytest.approx(mean)
    assert started.class_counts == {"bad": 56, "good": 56}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_average_is_evaluated_and_exported_in_place_of_the_weights(
    tiny_recipe: Make, tmp_path: Path, precision: str
) -> None:
    recipe = tiny_recipe(ema_decay=0.9, precision=precision, load_best_model_at_end=False)
    end = of(train(recipe), Eval)[-1]
    commit = checkpoints.commits(tmp_path / "run" / "checkpoints")[-1]
    average, weights = (load_file(commit.folder / f"{name}.safetensors") for name in ("average", "model"))
    exported = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(torch.equal(exported[name], tensor) for name, tensor in average.items())
    assert not any(torch.equal(weights[name], tensor) for name, tensor in average.items())
    again = driver.evaluate(tmp_path / "run")
    assert again.loss == pytest.approx(end.loss, abs=1e-5)


def test_the_best_model_is_the_result(tiny_recipe: Make, tmp_path: Path) -> None:
    records = train(tiny_recipe(learning_rate=2e-2, eval_steps=2, metric_for_best_model="loss", num_epochs=4))
    evals, [end] = of(records, Eval), of(records, Ended)
    *during, final = evals
    best = min(during, key=lambda one: one.loss)
    assert 0 < best.step < end.step, "the premise: the best is neither the first nor the last"
    assert (end.best_metric, end.best_step, end.best_value) == ("loss", best.step, best.loss)
    assert final.loss == best.loss
    lows = [min(one.loss for one in during[: i + 1]) for i in range(len(during))]
    assert [one.best for one in during] == [i == 0 or lows[i] < lows[i - 1] for i in range(len(during))]
    assert driver.evaluate(tmp_path / "run").loss == pytest.approx(best.loss, abs=1e-5)


def early_stopping(tiny_recipe: Make) -> Recipe:
    return tiny_recipe(
        learning_rate=1e-9, eval_steps=2, early_stopping_patience=3, metric_for_best_model="loss",
        early_stopping_threshold=0.01, num_epochs=5,
    )  # fmt: skip


def test_early_stopping_is_the_recipes_action_and_a_good_end(tiny_recipe: Make) -> None:
    records = train(early_stopping(tiny_recipe))
    [stopped], [end] = of(records, Acted), of(records, Ended)
    assert isinstance(stopped.action, Stop)
    assert (stopped.by, stopped.outcome, stopped.step) == ("recipe", "applied", 6)
    assert (end.status, end.step) == ("completed", 6)
    assert end.reason.startswith("early stopping: ")


def test_a_run_that_was_stopped_stays_so_when_it_is_cut_before_its_end(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    records = driver.train(early_stopping(tiny_recipe))
    next(record for record in records if isinstance(record, Note) and record.topic == "verdict")
    records.close()  # type: ignore[attr-defined]
    *_, end = driver.resume(tmp_path / "run")
    assert isinstance(end, Ended)
    assert (end.status, end.step) == ("completed", 6)
    assert end.reason.startswith("early stopping: ")


def test_a_plateau_lowers_the_rate_where_the_schedule_asks_for_it(tiny_recipe: Make) -> None:
    records = train(
        tiny_recipe(learning_rate=1e-9, lr_scheduler="plateau", eval_steps=2, warmup_ratio=0, max_steps=12)
    )
    first, *_ = of(records, Acted)
    assert isinstance(first.action, ScaleLearningRate)
    assert (first.by, first.outcome, first.step) == ("recipe", "applied", 6)
    rates = {step.step: step.learning_rate for step in of(records, Step)}
    assert rates[6] == pytest.approx(1e-9)
    assert rates[7] == pytest.approx(1e-9 * first.action.factor)


def test_checkpoints_are_kept_up_to_the_limit_the_best_and_the_first_among_them(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    recipe = tiny_recipe(save_steps=1, save_total_limit=3, learning_rate=1e-9, max_steps=12, eval_steps=4)
    records = train(recipe)
    kept = checkpoints.commits(tmp_path / "run" / "checkpoints")
    [end] = of(records, Ended)
    assert len(kept) == 3
    assert kept[0].step == 0
    assert kept[-1].step == 12
    assert end.best_step in {commit.step for commit in kept}
    assert [c.commit for c in of(records, Committed)] == list(range(13))
    assert all(not checkpoints.verify(commit) for commit in kept)


@pytest.mark.parametrize(
    "where",
    [
        lambda record: isinstance(record, Started),
        lambda record: isinstance(record, Step) and record.step == 5,
        lambda record: isinstance(record, Step) and record.step == 8,  # an evaluation is due
        lambda record: isinstance(record, Eval) and record.split == "test",
        lambda record: isinstance(record, Note) and record.topic == "verdict",
    ],
    ids=["at the start", "between evaluations", "before an evaluation", "between two splits", "at the end"],
)
def test_ctrl_c_saves_and_stops_and_a_resume_finishes(
    tiny_recipe: Make, tmp_path: Path, where: Callable[[Record], bool]
) -> None:
    whole = train(tiny_recipe({"test": 0.1}, output_dir=str(tmp_path / "whole"), dropout=0.1))
    cut = interrupt(driver.train(tiny_recipe({"test": 0.1}, dropout=0.1)), where)
    assert isinstance(cut[-1], Ended)
    assert (cut[-1].status, cut[-1].reason) == ("interrupted", "SIGINT")
    assert not (tmp_path / "run" / "model").exists()
    steps = of(cut, Step)
    assert checkpoints.commits(tmp_path / "run" / "checkpoints")[-1].step == (steps[-1].step if steps else 0)
    resumed = list(driver.resume(tmp_path / "run"))
    assert isinstance(resumed[-1], Ended)
    assert resumed[-1].status == "completed"
    assert len(of(resumed, Rewound)) == 1
    assert measured(tmp_path / "run" / "log.jsonl") == measured(tmp_path / "whole" / "log.jsonl")
    results = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("run", "whole")]
    assert results[0] == results[1]
    assert of(whole, Ended)[0].best_value == resumed[-1].best_value


def test_a_second_ctrl_c_aborts(tiny_recipe: Make, tmp_path: Path) -> None:
    records = driver.train(tiny_recipe())
    next(record for record in records if isinstance(record, Step))
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    records.close()  # type: ignore[attr-defined]
    *_, end = driver.resume(tmp_path / "run")
    assert isinstance(end, Ended)


def test_what_breaks_a_run_is_in_its_log(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr("tunewell.training.loop.forward_backward", broken)
    with pytest.raises(RuntimeError, match="the device is gone"):
        train(tiny_recipe())
    *_, end = logs.read(tmp_path / "run" / "log.jsonl")
    assert isinstance(end, Ended)
    assert (end.status, end.reason) == ("failed", "RuntimeError: the device is gone")


def test_a_checkpoint_is_kept_together_with_the_best_one_of_its_time(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    recipe = tiny_recipe(
        save_steps=3, save_total_limit=3, metric_for_best_model="loss", eval_steps=7, max_steps=14
    )
    *_, end = driver.train(recipe)
    assert isinstance(end, Ended)
    assert end.best_step == 14, "the premise: the best of the middle was beaten"
    kept = {commit.commit: commit for commit in checkpoints.commits(tmp_path / "run" / "checkpoints")}
    states = [json.loads((commit.folder / "state.json").read_text()) for commit in kept.values()]
    assert {7} < {state["progress"]["best_step"] for state in states}
    assert {state["progress"]["best_commit"] for state in states} <= kept.keys()

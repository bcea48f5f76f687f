"""Tools that a recipe names in `log_to`: refused before anything starts, fed while a run trains, never in its way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from tunewell.problems import RecipeError
from tunewell.records import Ended, Note, Record, Step
from tunewell.runs.folder import RunFolder
from tunewell.runs.forwarding import Item, Opening, Point
from tunewell.runs.report import render
from tunewell.runs.sums import SUMS
from tunewell.runs.verify import verify
from tunewell.training import driver, tracking


class Failing:
    """A tool that takes nothing."""

    def __init__(self, run: Opening) -> None:
        self.name = run.name

    def take(self, items: Sequence[Item]) -> None:
        raise ConnectionError("the server is gone")

    def close(self, status: str) -> None:
        raise ConnectionError("the server is still gone")


class Keeping:
    """A tool that keeps all it gets."""

    items: ClassVar[list[Item]] = []
    told: ClassVar[list[object]] = []

    def __init__(self, run: Opening) -> None:
        self.told += [run.name, run.settings["learning_rate"], run.settings["data.max_length"]]

    def take(self, items: Sequence[Item]) -> None:
        self.items.extend(items)

    def close(self, status: str) -> None:
        self.told.append(status)


class Wanting:
    """A tool whose library nobody has."""

    library = "no_such_library"


@pytest.fixture(autouse=True)
def _named(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_tools", sys.modules[__name__])


def test_what_is_not_known_or_not_installed_is_refused_together(tiny_recipe):
    recipe = tiny_recipe(log_to=["tensorbord", "own_tools:Wanting", "own_tools:Keeping"])
    with pytest.raises(RecipeError) as caught:
        driver.check(recipe, Path())
    assert [problem.field for problem in caught.value.problems] == ["log_to", "log_to"]
    assert "did you mean `tensorboard`?" in str(caught.value)
    assert "needs the package `no_such_library`, which is not installed" in str(caught.value)
    assert "pip install" in str(caught.value)


def test_nothing_is_trained_where_a_library_lacks(tiny_recipe, tmp_path):
    with pytest.raises(RecipeError):
        next(driver.train(tiny_recipe(log_to=["own_tools:Wanting"]), tmp_path))
    assert not (tmp_path / "run").exists()


def test_where_it_is_told_changes_nothing_of_what_is_asked(tiny_recipe):
    plain = tiny_recipe()
    assert plain.model_copy(update={"log_to": ["wandb"]}).hash() == plain.hash()
    assert "log_to" not in tracking.flat_settings(plain)


def trained(recipe) -> list[Record]:
    return list(driver.train(recipe, Path()))


def test_a_run_is_passed_on_whole(tiny_recipe, tmp_path):
    Keeping.items.clear()
    Keeping.told.clear()
    records = trained(tiny_recipe(log_to=["own_tools:Keeping"], max_steps=6))
    losses = [
        one.values["train/loss"]
        for one in Keeping.items
        if isinstance(one, Point) and "train/loss" in one.values
    ]
    assert losses == [record.loss for record in records if isinstance(record, Step)]
    assert Keeping.told[0] == "run"
    assert Keeping.told[-1] == "completed"


def test_a_tool_that_fails_ends_no_training(tiny_recipe, caplog):
    records = trained(tiny_recipe(log_to=["own_tools:Failing"], max_steps=6))
    assert isinstance(records[-1], Ended)
    assert records[-1].status == "completed"
    told = [r.text for r in records if isinstance(r, Note) and r.topic == "log_to"] + caplog.messages
    assert any("failed, training goes on: ConnectionError: the server is gone" in text for text in told)


def test_tensorboard_beside_the_record(tiny_recipe, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records = trained(tiny_recipe(log_to="tensorboard", max_steps=6))
    read = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    read.Reload()
    steps = [record for record in records if isinstance(record, Step)]
    assert [event.step for event in read.Scalars("train/loss")] == [step.step for step in steps]
    assert read.Scalars("eval/validation/accuracy")
    assert "tensorboard" not in (tmp_path / "run" / SUMS).read_text()


def test_a_run_leaves_its_report(tiny_recipe, tmp_path):
    trained(tiny_recipe(max_steps=6))
    run = RunFolder(tmp_path / "run")
    page = run.report.read_text("utf-8")
    assert "Completed at step 6" in page
    assert page.count("<svg") >= 4
    assert str(tmp_path) not in page
    run.report.write_text(render(run) + "<!-- made again -->")
    assert [part.what for part in verify(run) if part.state in ("damaged", "missing")] == []

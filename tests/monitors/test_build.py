from __future__ import annotations

import pytest

from tunewell.monitors import build, from_recipe
from tunewell.monitors.overtraining import Overtraining
from tunewell.monitors.stall import Stall
from tunewell.plugins import names
from tunewell.problems import RecipeError
from tunewell.recipe import Recipe


def test_all_are_on_by_default_and_false_switches_one_off() -> None:
    assert sorted(build({})) == names("monitors")
    assert sorted({*build({"stall": False}), "stall"}) == names("monitors")


def test_fields_are_set() -> None:
    assert build({"stall": {"floor_seconds": 30}})["stall"] == Stall(floor_seconds=30)


def test_every_mistake_is_named_at_once_with_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        build({"los_spike": {}, "stall": {"floor_second": 1}, "plateau": {"patience": 0}})
    told = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "did you mean `loss_spike`?" in told
    assert "did you mean `floor_seconds`?" in told
    assert "`patience`" in told or "$.patience" in told


def test_a_users_own_monitor_is_loaded_by_its_path() -> None:
    name = "tunewell.monitors.stall:Stall"
    assert build({name: {"floor_seconds": 9}})[name] == Stall(floor_seconds=9)


def test_early_stopping_and_metric_come_from_the_recipe() -> None:
    recipe = Recipe.model_validate(
        {"data": {"train": "a.csv"}, "early_stopping_patience": 4, "early_stopping_threshold": 0.01}
    )
    made = from_recipe(recipe, "accuracy")
    assert made["overtraining"] == Overtraining(metric="accuracy", patience=4, threshold=0.01)


def test_settings_win_over_the_recipes_keys_and_off_stays_off() -> None:
    recipe = Recipe.model_validate(
        {
            "data": {"train": "a.csv"},
            "metric_for_best_model": "loss",
            "monitors": {"overtraining": {"patience": 7}, "plateau": False},
        }
    )
    made = from_recipe(recipe, "accuracy")
    assert made["overtraining"] == Overtraining(metric="loss", patience=7)
    assert "plateau" not in made


def test_an_ignored_kind_is_not_looked_for() -> None:
    recipe = Recipe.model_validate(
        {"model": "m", "data": {"train": "a.csv"}, "on": {"stall": "ignore", "loss_spike": "observe"}}
    )
    assert sorted({*from_recipe(recipe, "accuracy"), "stall"}) == names("monitors")

"""The recipe's model: hash, immutability, and settings that can't work together, through the API."""

from __future__ import annotations

import pydantic
import pytest

from tunewell.recipe import ALIASES, Data, Recipe

DATA = Data(train=["a.jsonl"])


def test_one_file_may_be_given_as_text() -> None:
    assert Data.model_validate({"train": "a.jsonl", "test": "b.jsonl"}).train == ["a.jsonl"]


def test_hash_names_what_was_asked_and_not_where_it_goes() -> None:
    recipe = Recipe(data=DATA)
    assert recipe.hash() == Recipe(data=DATA, name="x", output_dir="y").hash()
    assert recipe.hash() == Recipe(data=DATA, num_epochs=3).hash()
    assert recipe.hash() != Recipe(data=DATA, seed=1).hash()


def test_a_recipe_can_not_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Recipe(data=DATA).seed = 2  # type: ignore[misc]


def test_conflicts_are_told_in_words_through_the_api_too() -> None:
    with pytest.raises(
        pydantic.ValidationError, match=r"`eval_steps` needs validation rows: set data\.validation"
    ):
        Recipe(data=Data(train=["a"], validation=None), eval_steps=3)


def test_aliases_mean_keys_that_exist_and_are_no_keys_themselves() -> None:
    for alias, key in ALIASES.items():
        section, _, last = key.rpartition(".")
        assert last in (Data if section else Recipe).model_fields
        assert alias not in Recipe.model_fields


@pytest.mark.parametrize(
    ("monitor", "setting"),
    [("overtraining", {"early_stopping_patience": 2}), ("plateau", {"lr_scheduler": "plateau"})],
)
def test_a_setting_and_the_switched_off_monitor_that_it_waits_for_conflict(
    monitor: str, setting: dict[str, object]
) -> None:
    section = {"train": "a"}
    with pytest.raises(pydantic.ValidationError, match=f"waits for the monitor `{monitor}`"):
        Recipe.model_validate({"data": section, "monitors": {monitor: False}, **setting})
    Recipe.model_validate({"data": section, "monitors": {monitor: False}})

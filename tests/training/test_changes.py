"""What differs from a run's beginning is told, and its state is fitted to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import until
from tunewell.problems import RunError
from tunewell.recipe import Recipe
from tunewell.records import Ended, Note, Rewound, Started, Step
from tunewell.runs.row_history import read_row_history
from tunewell.training import changes, driver

Make = Callable[..., Recipe]


def edit(path: Path, was: str, becomes: str) -> None:
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes, 1))


def test_each_changed_key_is_told(tiny_recipe: Make) -> None:
    before = tiny_recipe().model_dump(mode="json", exclude_defaults=True)
    after = tiny_recipe({"max_length": 16}, learning_rate=1e-3, stages=[{"train": "head"}], name="other")
    assert changes.recipe_changes(before, after) == [
        "data.max_length 32 → 16",
        "learning_rate 0.002 → 0.001",
        "stages [] → [{train: head}]",
    ]
    assert changes.recipe_changes({"nonsense": 1}, after) == []


def test_the_refusal_names_rows_and_keys(tiny_recipe: Make, tmp_path: Path) -> None:
    until(driver.train(tiny_recipe(save_steps=2)), 5)
    edit(tmp_path / "run" / "recipe.yaml", "learning_rate: 0.002", "learning_rate: 0.001")
    lines = (tmp_path / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "train.jsonl").write_text("".join(lines[:-1]) + '{"text": "a new text", "label": "good"}\n')
    with pytest.raises(RunError) as refused:
        next(driver.resume(tmp_path / "run"))
    recipe, data = refused.value.problems
    assert "learning_rate 0.002 → 0.001" in recipe.message
    assert "new or changed" in data.message
    assert "--allow-changes" in data.fix


def test_a_changed_recipe_is_followed_once_it_is_allowed(tiny_recipe: Make, tmp_path: Path) -> None:
    until(driver.train(tiny_recipe(save_steps=2)), 5)
    edit(
        tmp_path / "run" / "recipe.yaml", "learning_rate: 0.002", "learning_rate: 0.0001\nmax_grad_norm: 0.25"
    )
    records = list(driver.resume(tmp_path / "run", allow_changes=True))
    [rewound] = [r for r in records if isinstance(r, Rewound)]
    assert not rewound.exact
    assert "learning_rate 0.002 → 0.0001" in rewound.detail
    steps = [r for r in records if isinstance(r, Step)]
    assert {step.max_grad_norm for step in steps} == {0.25}
    assert max(step.learning_rate for step in steps) <= 1e-4
    assert isinstance(records[-1], Ended)
    assert records[-1].status == "completed"


def test_more_rows_than_before_are_trained_on_once_it_is_allowed(
    tiny_recipe: Make, tmp_path: Path, write_reviews: Callable[..., Path]
) -> None:
    until(driver.train(tiny_recipe(save_steps=2)), 5)
    write_reviews(count=200)
    records = list(driver.resume(tmp_path / "run", allow_changes=True))
    [started] = [r for r in records if isinstance(r, Started)]
    assert started.num_rows["train"] == 160
    assert "rows come in another order" in " ".join(r.text for r in records if isinstance(r, Note))
    assert len(read_row_history(tmp_path / "run" / "rows")) == 160
    assert (tmp_path / "run" / "rows.before-1" / "ids.bin").is_file()
    assert isinstance(records[-1], Ended)
    assert records[-1].status == "completed"


def test_an_allowed_change_is_not_asked_about_again(tiny_recipe: Make, tmp_path: Path) -> None:
    until(driver.train(tiny_recipe(save_steps=2)), 5)
    edit(tmp_path / "run" / "recipe.yaml", "learning_rate: 0.002", "learning_rate: 0.001")
    until(driver.resume(tmp_path / "run", allow_changes=True), 9)
    *_, end = driver.resume(tmp_path / "run")
    assert isinstance(end, Ended)
    assert end.status == "completed"

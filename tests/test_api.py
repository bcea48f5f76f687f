"""The two functions of the package, as a user's script calls them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tunewell
from tunewell.document import dump_recipe
from tunewell.problems import RecipeError, RunError
from tunewell.recipe import Recipe


def test_train_and_load(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(max_steps=3, output_dir=None)
    (tmp_path / "reviews.yaml").write_text(dump_recipe(recipe))
    by_file = tunewell.train("reviews.yaml")
    assert (by_file.status, by_file.step) == ("completed", 3)
    by_object = tunewell.train(recipe)
    assert by_object.best_value == by_file.best_value
    assert sorted(path.name for path in Path("runs").iterdir()) == ["reviews", "run"]
    [prediction] = tunewell.load("reviews").predict(["a lovely film"])
    assert prediction.label in {"good", "bad"}
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
    assert tunewell.load("runs/run").predict(["a lovely film"]) == [prediction]


def test_errors_are_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text("data: {train: a.jsonl}\nlearning_rte: 1e-5\n")
    with pytest.raises(RecipeError, match="learning_rte"):
        tunewell.train("recipe.yaml")
    with pytest.raises(RunError, match="no run `demo`"):
        tunewell.load("demo")


def test_the_package_itself_is_light() -> None:
    heavy = "import sys, tunewell; print({'torch', 'transformers', 'sklearn', 'pyarrow'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"

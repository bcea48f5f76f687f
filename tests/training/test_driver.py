"""A run from outside: what can't be used leaves nothing behind, checks, evaluations, the Python front door."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import make_tiny_bert
from tunewell.problems import InputError, ModelError, RunError
from tunewell.recipe import Recipe
from tunewell.records import Eval, Note
from tunewell.training import driver

Make = Callable[..., Recipe]

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no such file": ({"data": {"train": "nowhere.jsonl"}}, "nowhere.jsonl"),
    "no such column": ({"data": {"label": "sentiment"}}, "sentiment"),
    "a batch of more than all rows": ({"batch_size": 500}, "more than the 128 training rows"),
    "no such model": ({"model": "./models/none"}, "no such model folder"),
    "more tokens than positions": ({"data": {"max_length": 100}}, "64 positions"),
    "too long": ({"data": {"max_length": 5, "truncation": "refuse"}}, "longer than max_length 5"),
    "a pattern that names nothing": (
        {"stages": [{"num_epochs": 1}, {"train": "decoder.*"}]},
        "names no parameter",
    ),
    "no such policy": ({"policy": "cautios"}, "did you mean `cautious`"),
    "no such task": ({"task": "text_clasification"}, "did you mean `text_classification`"),
    "no such monitor": ({"monitors": {"lossspike": False}}, "loss_spike"),
    "a setting that a monitor lacks": ({"monitors": {"plateau": {"patiense": 2}}}, "did you mean `patience`"),
    "no such metric": ({"metric_for_best_model": "acuracy"}, "did you mean `accuracy`"),
    "a weight of no class": ({"class_weights": {"fine": 2.0}}, "unknown labels: fine"),
    "a device that is not here": ({"device": "cuda:77"}, "cuda:77"),
}


@pytest.mark.parametrize(("changes", "said"), BAD.values(), ids=BAD)
def test_bad_input_leaves_nothing_on_the_disk(
    tiny_recipe: Make, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    recipe = tiny_recipe(**changes)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        next(driver.train(recipe, tmp_path))
    assert said in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_does_not_fit_its_tokenizer_leaves_nothing(tiny_recipe: Make, tmp_path: Path) -> None:
    folder = make_tiny_bert(tmp_path / "model", vocab_size=12)
    with pytest.raises(InputError, match="embeds only 12"):
        next(driver.train(tiny_recipe(model=str(folder)), tmp_path))
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_left_as_it_was(tiny_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("three years of work")
    with pytest.raises(RunError, match="is not empty"):
        next(driver.train(tiny_recipe(), tmp_path))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_relative_paths_start_at_the_recipe(
    tiny_recipe: Make, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").symlink_to(tiny_model)
    recipe = tiny_recipe(model="./model", max_steps=2)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"train": ["train.jsonl"]})})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    list(driver.train(recipe, tmp_path))
    assert driver.evaluate(tmp_path / "run").rows == 32


def test_check_tells_the_plan_and_writes_nothing(tiny_recipe: Make, tmp_path: Path) -> None:
    report = driver.check(tiny_recipe(stages=[{"train": "head", "num_epochs": 0.5}, {}]), tmp_path)
    assert report.plan["rows"] == {"train": 128, "validation": 32}
    assert report.plan["labels"] == ["bad", "good"]
    assert report.plan["stages"] == ["head: steps 1-4", "all: steps 5-20"]
    assert report.plan["precision"] == "fp32"
    assert report.ledger.splits["train"].kept == 128
    assert not (tmp_path / "run").exists()


def test_the_ledger_opens_the_log(tiny_recipe: Make, tmp_path: Path) -> None:
    records = list(driver.train(tiny_recipe(max_steps=1), tmp_path))
    told = [record.text for record in records if isinstance(record, Note) and record.topic == "ledger"]
    assert told[0].startswith("160 rows read")
    assert any(line.startswith("train: 128 rows kept of 128") for line in told)
    assert any("none cut" in line for line in told)
    assert not any("characters" in line for line in told)


def test_a_bound_on_tokens_allows_a_batch_of_more_than_all_rows(tiny_recipe: Make, tmp_path: Path) -> None:
    assert driver.check(tiny_recipe(batch_size=500, max_tokens_per_batch=128), tmp_path).plan["steps"] > 2


def test_a_run_is_evaluated_on_its_own_rows_and_on_others(
    tiny_recipe: Make, tmp_path: Path, write_reviews: Callable[..., Path]
) -> None:
    records = list(driver.train(tiny_recipe({"test": 0.1}, num_epochs=1), tmp_path))
    final = [record for record in records if isinstance(record, Eval)][-1]
    again = driver.evaluate(tmp_path / "run")
    assert (final.split, again.split, again.rows) == ("test", "test", final.rows)
    assert again.metrics == pytest.approx(final.metrics)
    other = driver.evaluate(tmp_path / "run", write_reviews("others.jsonl", count=30, seed=9))
    assert (other.split, other.rows) == ("others.jsonl", 30)
    moved = (tmp_path / "run" / "model").rename(tmp_path / "moved")
    alone = driver.evaluate(moved, tmp_path / "others.jsonl")
    assert alone.metrics == other.metrics
    with pytest.raises(RunError, match="no data to be evaluated on"):
        driver.evaluate(moved)
    with pytest.raises(RunError, match="has no model yet"):
        driver.evaluate(tmp_path / "run")


def test_a_model_from_elsewhere_is_evaluated_by_its_configuration(
    tiny_recipe: Make, tmp_path: Path, tiny_model: Path, write_reviews: Callable[..., Path]
) -> None:
    list(driver.train(tiny_recipe(max_steps=2), tmp_path))
    others = write_reviews("others.jsonl", count=30, seed=9)
    known = driver.evaluate(tmp_path / "run", others)
    moved = (tmp_path / "run" / "model").rename(tmp_path / "moved")
    for name in ("tunewell.json", "SHA256SUMS"):  # as a model that other tools made
        (moved / name).unlink()
    assert driver.evaluate(moved, others).metrics == known.metrics
    with pytest.raises(ModelError, match="no text classifier"):
        driver.evaluate(tiny_model, others)


def test_rows_of_one_class_alone_can_be_evaluated(
    tiny_recipe: Make, tmp_path: Path, write_reviews: Callable[..., Path]
) -> None:
    list(driver.train(tiny_recipe(max_steps=2), tmp_path))
    lines = write_reviews("others.jsonl", count=30, seed=9).read_text().splitlines(keepends=True)
    good = tmp_path / "good.jsonl"
    good.write_text("".join(line for line in lines if "good" in line.rpartition("label")[2]))
    assert driver.evaluate(tmp_path / "run", good).rows == 15
    good.write_text(good.read_text().splitlines(keepends=True)[0])
    assert driver.evaluate(tmp_path / "run", good).rows == 1
    with pytest.raises(InputError, match="a classifier needs two"):
        driver.check(
            tiny_recipe({"train": str(good), "labels": ["bad", "good"]}, output_dir=str(tmp_path / "other")),
            tmp_path,
        )


def test_the_result_holds_its_card_and_settings(tiny_recipe: Make, tmp_path: Path) -> None:
    list(driver.train(tiny_recipe(max_steps=3), tmp_path))
    model = tmp_path / "run" / "model"
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "tunewell.json"} <= {
        path.name for path in model.iterdir()
    }
    settings = json.loads((model / "tunewell.json").read_text())
    assert settings == {
        "task": "text_classification",
        "problem": "single_label",
        "labels": ["bad", "good"],
        "max_length": 32,
        "truncation": "head",
        "clean": [],
    }
    assert "tunewell_cpu" not in (model / "config.json").read_text()
    assert "accuracy" in (model / "README.md").read_text()
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")) == []


def test_bad_rows_are_left_out_of_an_evaluation_that_allows_it(
    tiny_recipe: Make, tmp_path: Path, write_reviews: Callable[..., Path]
) -> None:
    list(driver.train(tiny_recipe(max_steps=2), tmp_path))
    others = write_reviews("others.jsonl", count=20, seed=9)
    others.write_text(others.read_text() + '{"text": "", "label": "good"}\n')
    with pytest.raises(InputError):
        driver.evaluate(tmp_path / "run", others)
    assert driver.evaluate(tmp_path / "run", others, skip_bad=True).rows == 20

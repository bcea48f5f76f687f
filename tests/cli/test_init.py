"""A first recipe drafted from data, and that it can be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.data.prepare import prepare
from tunewell.document import load_document, load_recipe
from tunewell.recipe import Recipe


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, rows: list[dict[str, object]]) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def reviews(count: int, start: int = 0) -> list[dict[str, object]]:
    return [
        {"review": f"the film number {i} was fine", "stars": "good" if i % 3 else "bad"}
        for i in range(start, start + count)
    ]


def drafted(*tokens: str) -> Recipe:
    """Run `init`, check that the data can be prepared by its recipe, and return that."""
    assert cli.main(["init", *tokens]) == 0
    out = tokens[tokens.index("--out") + 1] if "--out" in tokens else "recipe.yaml"
    document = load_document(out)
    assert document.notes == []
    prepare(document.recipe, document.base)
    return document.recipe


def test_columns_classes_and_splits_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    write("data/reviews.jsonl", reviews(300))
    recipe = drafted("data/reviews.jsonl")
    data = recipe.data
    assert (data.train, data.validation, data.test) == (["data/reviews.jsonl"], 0.1, 0.1)
    assert (data.text, data.label, data.labels) == ("review", "stars", ["bad", "good"])
    assert (recipe.problem, recipe.model, recipe.batch_size) == ("single_label", "minilm", 32)
    told = capsys.readouterr()
    assert not told.out
    assert "300 rows read: text from `review`, label from `stars`; single_label" in told.err
    assert told.err.endswith("next: tunewell check recipe.yaml\n")


def test_paths_are_relative_to_the_recipe() -> None:
    write("data/reviews.jsonl", reviews(60))
    Path("recipes").mkdir()
    assert drafted("data/reviews.jsonl", "--out", "recipes/r.yaml").data.train == ["../data/reviews.jsonl"]


def test_a_file_that_is_there_is_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    write("reviews.jsonl", reviews(60))
    Path("recipe.yaml").write_text("mine")
    assert cli.main(["init", "reviews.jsonl"]) == 2
    assert Path("recipe.yaml").read_text() == "mine"
    assert "there is a file already" in capsys.readouterr().err


def test_four_sentences_make_a_recipe() -> None:
    rows: list[dict[str, object]] = [
        {"text": text, "label": label}
        for text, label in [("很好", 1), ("很差", 0), ("不错的酒店", 1), ("糟糕透了", 0)]
    ]
    write("four.jsonl", rows)
    recipe = drafted("four.jsonl")
    assert (recipe.data.validation, recipe.data.test, recipe.batch_size) == (None, None, 1)
    assert "an English encoder" in Path("recipe.yaml").read_text() or "multilingual" in recipe.model


def test_a_folder_of_splits_is_understood() -> None:
    write("set/train.jsonl", reviews(60))
    write("set/test.jsonl", reviews(20, start=100))
    write("set/dev.jsonl", reviews(20, start=200))
    data = drafted("set").data
    assert (data.train, data.validation, data.test) == (
        ["set/train.jsonl"],
        ["set/dev.jsonl"],
        ["set/test.jsonl"],
    )


def test_long_texts_html_leaks_bad_rows_and_imbalance_are_dealt_with() -> None:
    rows: list[dict[str, object]] = [
        {"text": f"{i} <br /> " + "a long review " * 200, "label": "neg" if i % 10 else "pos"}
        for i in range(100)
    ]
    write("train.jsonl", [*rows, {"text": "", "label": "neg"}])
    write("test.jsonl", [*rows[:10], {"text": "new", "label": "pos"}])
    recipe = drafted("train.jsonl")
    assert (recipe.data.max_length, recipe.data.truncation) == (256, "head_tail")
    assert (recipe.data.skip_bad, recipe.data.leakage, recipe.data.clean) == (True, "drop", ["strip_html"])
    assert recipe.class_weights == "balanced"


def test_pairs_and_scores_are_found() -> None:
    write("sts.jsonl", [{"sentence1": f"a {i}", "sentence2": f"b {i}", "score": i / 7} for i in range(50)])
    recipe = drafted("sts.jsonl")
    assert (recipe.data.text, recipe.data.text_pair, recipe.problem) == (
        "sentence1",
        "sentence2",
        "regression",
    )
    assert recipe.data.labels is None


def test_names_that_yaml_would_twist_are_quoted() -> None:
    write("no.jsonl", [{"text": f"t {i}", "label": "no" if i % 2 else "1e5 x: y"} for i in range(60)])
    drafted("no.jsonl")
    assert load_recipe("recipe.yaml").data.labels == ["1e5 x: y", "no"]


@pytest.mark.parametrize("data", ["missing.jsonl", "folder"])
def test_data_that_can_not_be_used_is_bad_input(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    assert cli.main(["init", data]) == 2
    assert capsys.readouterr().err.endswith("next: tunewell init --help\n")
    assert not Path("recipe.yaml").exists()

"""Every kind of bad input: what the terminal shows, and what the API raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.reliability import bad_inputs
from benchmarks.reliability.bad_inputs import Case

from tunewell.data.audio import check_audio
from tunewell.data.chat import check_chats
from tunewell.data.images import check_images
from tunewell.data.read import read
from tunewell.document import load_document
from tunewell.problems import DataError, InputError, ModelError, RecipeError, RunError

CASES = bad_inputs.cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_terminal_shows_what_is_kept(case: Case, tiny_model: Path) -> None:
    shown = bad_inputs.shown(case, tiny_model)
    assert shown == case.expected, (
        "read it; if it is right: python -m benchmarks.reliability.bad_inputs --update"
    )
    assert "Traceback" not in shown


def test_every_number_of_the_list_is_there() -> None:
    assert [int(case.name[:2]) for case in CASES] == list(range(1, 44))
    assert all(case.commands for case in CASES)


def test_the_page_is_made_of_the_kept_texts() -> None:
    assert bad_inputs.PAGE.read_text("utf-8") == bad_inputs.page()


def resume() -> object:
    from tunewell.training import driver

    return list(driver.resume("run"))


def check(recipe: str, *overrides: str) -> Callable[[], object]:
    """Return what checks the recipe file, as a program would."""

    def call() -> object:
        from tunewell.training import driver

        document = load_document(recipe, overrides)
        return driver.check(document.recipe, document.base)

    return call


def chats(name: str) -> Callable[[], object]:
    return lambda: check_chats(read([name], Path()))


RAISED: dict[str, tuple[Callable[[], object], type[InputError], str, int | None, str, str]] = {
    "01_empty_file": (check("recipe.yaml"), DataError, "reviews.csv", None, "data.train", "holds rows"),
    "02_all_rows_filtered": (check("recipe.yaml"), DataError, "", None, "data.train", "leakage"),
    "03_missing_file": (
        check("recipe.yaml"), DataError, "reveiws.csv", None, "data.train", "did you mean `reviews.csv`?",
    ),
    "05_not_utf8": (
        check("recipe.yaml", "data.train=cp1252.csv"), DataError, "cp1252.csv", 6, "data.train", "CP1252",
    ),
    "07_control_characters": (check("recipe.yaml"), DataError, "reviews.csv", 4, "text", "--skip-bad"),
    "08_truncated_last_line": (check("recipe.yaml"), DataError, "reviews.jsonl", 8, "", "complete or delete"),
    "11_mixed_types": (check("recipe.yaml"), DataError, "reviews.jsonl", 9, "text", "mend it"),
    "12_nulls_first": (check("recipe.yaml"), DataError, "reviews.jsonl", 1, "label", "give it one"),
    "13_missing_column": (
        check("recipe.yaml"), DataError, "reviews.csv", None, "data.text", "did you mean `review`?",
    ),
    "14_duplicate_header": (check("recipe.yaml"), DataError, "reviews.csv", 1, "data.train", "its own name"),
    "15_duplicate_key": (check("recipe.yaml"), RecipeError, "recipe.yaml", 9, "batch_size", "keep one"),
    "16_ragged_csv": (check("recipe.yaml"), DataError, "reviews.csv", 10, "", "quote a field"),
    "17_duplicate_ids": (check("recipe.yaml"), DataError, "reviews.csv", 8, "number", "its own id"),
    "19_test_in_training": (check("recipe.yaml"), DataError, "", None, "data.leakage", "drop"),
    "20_label_outside_set": (check("recipe.yaml"), DataError, "reviews.csv", 10, "label", "did you mean `good`?"),
    "21_null_label": (check("recipe.yaml"), DataError, "reviews.jsonl", 9, "label", "give it one"),
    "23_yaml_surprises": (check("recipe.yaml"), RecipeError, "recipe.yaml", 5, "data.labels.0", '"no" in quotes'),
    "24_one_class": (check("recipe.yaml"), DataError, "reviews.csv", None, "label", "another class"),
    "26_huge_integer": (check("recipe.yaml"), RecipeError, "recipe.yaml", 9, "seed", "less than 2^63"),
    "27_empty_text": (check("recipe.yaml"), DataError, "reviews.csv", 10, "text", "delete the row"),
    "28_wrong_task": (check("recipe.yaml"), DataError, "reviews.csv", 2, "label", "problem: regression"),
    "29_no_pad_token": (check("recipe.yaml"), ModelError, "", None, "model", "add_special_tokens"),
    "30_longer_than_positions": (
        check("recipe.yaml"), RecipeError, "", None, "data.max_length", "set data.max_length to 64",
    ),
    "31_nothing_to_learn": (chats("chats.jsonl"), DataError, "chats.jsonl", 2, "messages", "add an answer"),
    "32_token_id_beyond_embeddings": (check("recipe.yaml"), ModelError, "", None, "model", "tokenizer that belongs"),
    "33_chat_roles": (chats("chats.jsonl"), DataError, "chats.jsonl", 2, "messages", "allowed there: assistant"),
    "34_truncated_image": (
        lambda: check_images(Path("photos")), DataError, "photos/cut.gif", None, "", "copy it again",
    ),
    "36_odd_images": (
        lambda: check_images(Path("photos")), DataError, "photos/bomb.png", None, "", "80,000,000 pixels",
    ),
    "38_broken_audio": (
        lambda: check_audio(Path("recordings")), DataError, "recordings/cut.flac", None, "", "copy it again",
    ),
    "39_recipe_typo": (
        check("train.yaml"), RecipeError, "train.yaml", 9, "learning_rte", "did you mean `learning_rate`?",
    ),
    "41_impossible_settings": (check("batch.yaml"), RecipeError, "", None, "batch_size", "8 or less"),
    "42_output_folder": (
        check("recipe.yaml", "output_dir=runs/used"), RunError, "runs/used", None, "output_dir", "another `name`",
    ),
    "43_changed_since": (resume, RunError, "run/recipe.yaml", None, "", "--allow-changes"),
}  # fmt: skip
"""By case: a call, and the type, file, line, field and a part of the fix of the first problem that it raises."""


@pytest.fixture
def laid_out(request: pytest.FixtureRequest, tiny_model: Path) -> Iterator[Path]:
    case = next(case for case in CASES if case.name == request.param)
    with bad_inputs.laid_out(case, tiny_model) as folder:
        yield folder


@pytest.mark.parametrize(("laid_out", "name"), [(name, name) for name in RAISED], indirect=["laid_out"])
def test_the_api_raises_it_typed(laid_out: Path, name: str) -> None:
    call, kind, file, line, field, fix = RAISED[name]
    with pytest.raises(InputError) as caught:
        call()
    problem = caught.value.problems[0]
    assert type(caught.value) is kind
    assert (problem.file, problem.line, problem.field) == (file, line, field)
    assert fix in problem.fix
    assert len(caught.value.problems) <= 20


ACCEPTED = {case.name for case in CASES if case.name not in RAISED}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in ACCEPTED], ids=lambda case: case.name
)
def test_what_is_not_refused_is_called_accepted(case: Case) -> None:
    assert "(accepted" in case.title
    assert "[exit 0]" in case.expected

"""Recipes as text: golden error texts, overrides, aliases, paths, round trips."""

from __future__ import annotations

import contextlib
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewell.document import (
    absolute_paths,
    dump_recipe,
    load_document,
    load_recipe,
    parse_recipe,
    recipe_schema,
)
from tunewell.problems import RecipeError
from tunewell.recipe import Data, Recipe, Stage

GOOD = "data: {train: a.jsonl}\n"

ONE_PROBLEM = {
    "empty": ("", "the recipe is empty", "", "make one from your data: tunewell init DATA"),
    "only a comment": ("# hello\n", "the recipe is empty", "", "make one from your data: tunewell init DATA"),
    "not a mapping": (
        "- a\n",
        "a recipe must be `key: value` lines",
        "",
        "begin with `data:` and `  train: FILE` below it",
    ),
    "no data": (
        "model: minilm\n",
        "`data` is missing",
        "  data",
        "write `data:` and `  train: FILE` below it",
    ),
    "data left empty": (
        "data:\n",
        "`data` can't be empty",
        ":1  data",
        "write `data:` and `  train: FILE` below it",
    ),
    "no training file": (
        "data:\n  text: review\n",
        "`data.train` is missing",
        ":1  data.train",
        "give it: Training file or files (JSONL, JSON, CSV, TSV, Parquet, each also .gz or .xz; globs "
        "allowed), or `hub:NAME`.",
    ),
    "empty list of files": (
        "data: {train: []}",
        "`data.train` can't be an empty list",
        ":1  data.train",
        "give text or a list of texts",
    ),
    "typo": (
        GOOD + "learning_rte: 1e-4",
        "unknown key `learning_rte`",
        ":2  learning_rte",
        "did you mean `learning_rate`?  (default 0.0001)",
    ),
    "typo of an alias": (
        GOOD + "num_train_epoch: 1",
        "unknown key `num_train_epoch`",
        ":2  num_train_epoch",
        "did you mean `num_epochs`?  (default 3)",
    ),
    "key of another section": (
        GOOD + "text: review",
        "unknown key `text`",
        ":2  text",
        "write it under `data:`",
    ),
    "key of the top level": (
        "data:\n  train: a\n  batch_size: 8",
        "unknown key `batch_size`",
        ":3  data.batch_size",
        "write it at the top level, not indented",
    ),
    "key like nothing": (
        GOOD + "zzz: 1",
        "unknown key `zzz`",
        ":2  zzz",
        "remove it; `tunewell schema` lists all keys",
    ),
    "typo in a stage": (
        GOOD + "stages:\n  - train: head\n    num_epoch: 1",
        "unknown key `num_epoch`",
        ":4  stages.0.num_epoch",
        "did you mean `num_epochs`?",
    ),
    "stage is no mapping": (
        GOOD + "stages:\n  - head",
        "`stages.0` can't be `head`",
        ":3  stages.0",
        "give `key: value` lines",
    ),
    "zero rows": (
        GOOD + "batch_size: 0",
        "`batch_size` can't be `0`",
        ":2  batch_size",
        "give a whole number greater than 0  (default 32)",
    ),
    "not whole": (
        GOOD + "batch_size: 3.5",
        "`batch_size` can't be `3.5`",
        ":2  batch_size",
        "give a whole number greater than 0  (default 32)",
    ),
    "huge integer": (
        GOOD + "batch_size: 99999999999",
        "`batch_size` can't be `99999999999`",
        ":2  batch_size",
        "give a whole number greater than 0 and less than 2^31  (default 32)",
    ),
    "negative rate": (
        GOOD + "learning_rate: -1e-4",
        "`learning_rate` can't be `-1e-4`",
        ":2  learning_rate",
        "give a number greater than 0 and at most 10  (default 0.0001)",
    ),
    "rate is not a number": (
        GOOD + "learning_rate: .nan",
        "`learning_rate` can't be `.nan`",
        ":2  learning_rate",
        "give a number greater than 0 and at most 10  (default 0.0001)",
    ),
    "infinite": (
        GOOD + "adam_epsilon: .inf",
        "`adam_epsilon` can't be `.inf`",
        ":2  adam_epsilon",
        "give a number greater than 0  (default 1e-8)",
    ),
    "text for a number": (
        GOOD + "num_epochs: three",
        "`num_epochs` can't be `three`",
        ":2  num_epochs",
        "give a number greater than 0 and at most 100000  (default 3)",
    ),
    "quoted number": (
        GOOD + "learning_rate: '3e-5'",
        '`learning_rate` can\'t be "3e-5"',
        ":2  learning_rate",
        "remove the quotes",
    ),
    "too short": (
        "data: {train: a, max_length: 2}",
        "`data.max_length` can't be `2`",
        ":1  data.max_length",
        "give a whole number of at least 4  (default 256)",
    ),
    "share over one": (
        "data: {train: a, validation: 1.5}",
        "`data.validation` can't be `1.5`",
        ":1  data.validation",
        "give a number greater than 0 and less than 1, text, a list of texts or null  (default 0.1)",
    ),
    "boolean as a word": (
        GOOD + "name: no",
        "`name` can't be `no`: YAML reads it as false",
        ":2  name",
        'write "no" in quotes if you mean the word',
    ),
    "label that YAML twists": (
        "data:\n  train: a\n  labels:\n    - off\n    - '1'",
        "`data.labels.0` can't be `off`: YAML reads it as false",
        ":4  data.labels.0",
        'write "off" in quotes if you mean the word',
    ),
    "label that is a number": (
        "data: {train: a, labels: [7, b]}",
        "`data.labels.0` can't be `7`",
        ":1  data.labels.0",
        'write "7" in quotes to make it text',
    ),
    "boolean for a number": (
        GOOD + "max_grad_norm: no",
        "`max_grad_norm` can't be `no`",
        ":2  max_grad_norm",
        "give a number greater than 0 or null  (default 1)",
    ),
    "number for a boolean": (
        GOOD + "group_by_length: 1",
        "`group_by_length` can't be `1`",
        ":2  group_by_length",
        "give true or false  (default true)",
    ),
    "octal": (
        GOOD + "seed: 012",
        "`012` begins with 0, so YAML may read it as another number",
        ":2  seed",
        'write 12 for the number, or "012" in quotes for the text',
    ),
    "unknown choice": (
        GOOD + "lr_scheduler: Linaer",
        "`lr_scheduler` can't be `Linaer`",
        ":2  lr_scheduler",
        "did you mean `linear`?  (known: linear, cosine, constant, polynomial, inverse_sqrt, "
        "warmup_stable_decay, plateau)",
    ),
    "choice like nothing": (
        GOOD + "optimizer: zzz",
        "`optimizer` can't be `zzz`",
        ":2  optimizer",
        "give one of adamw, adam, rmsprop, sgd, adafactor, lion  (default adamw)",
    ),
    "unknown device": (
        GOOD + "device: gpu",
        "`device` can't be `gpu`",
        ":2  device",
        "give auto, cpu, cuda, cuda:N or mps  (default auto)",
    ),
    "negative weight": (
        GOOD + "class_weights: {a: -1}",
        "`class_weights.a` can't be `-1`",
        ":2  class_weights.a",
        "give a number greater than 0",
    ),
    "unknown task": (
        GOOD + "task: text_clasification",
        "no `text_clasification` among the tasks",
        ":2  task",
        "did you mean `text_classification`?",
    ),
    "unknown policy": (
        GOOD + "policy: cautios",
        "no `cautios` among the policies",
        ":2  policy",
        "did you mean `cautious`?",
    ),
    "unknown monitor": (
        GOOD + "monitors:\n  loss_spke: false",
        "no `loss_spke` among the monitors",
        ":3  monitors.loss_spke",
        "did you mean `loss_spike`?",
    ),
    "duplicate key": (
        GOOD + "seed: 1\nseed: 2",
        "`seed` is given twice, first in line 2",
        ":3  seed",
        "keep one of the two lines",
    ),
    "an alias and its key": (
        GOOD + "learning_rate: 1\nlr: 2",
        "`lr` means `learning_rate`, which is given too",
        ":3  lr",
        "keep one of the two lines",
    ),
    "anchor": (
        "data: &d {train: a}",
        "the anchor `&d` is not allowed",
        ":1  data",
        "remove it and write values out",
    ),
    "alias": (GOOD + "stages: *d", "the alias `*d` is not allowed", ":2  stages", "write the value out"),
    "tag": (
        GOOD + "name: !!python/name:os.system x",
        "the tag `!!python/name:os.system` is not allowed",
        ":2  name",
        "remove it; put text in quotes",
    ),
    "key that is a list": (
        GOOD + "? [a]\n: 1",
        "a key must be a plain word",
        ":2",
        "write `key: value`",
    ),
    "tab": (
        "data:\n\ttrain: a",
        "the line is indented with a tab",
        ":2",
        "indent with spaces: YAML forbids tabs here",
    ),
    "open bracket": (
        GOOD + "stages: [{train: head}",
        "this is not YAML: did not find expected ',' or ']' (begun in line 2)",
        ":3",
        "check indentation, colons, quotes and brackets here and in the line above",
    ),
    "special character": (
        GOOD + "name: @me",
        "this is not YAML: found character that cannot start any token",
        ":2",
        "put a text that begins with a special character such as @, % or ` in quotes",
    ),
    "two colons": (
        GOOD + "name: a: b",
        "this is not YAML: mapping values are not allowed in this context",
        ":2",
        'put a text that holds ": " in quotes, and give each key its own line',
    ),
    "control character": (
        GOOD + "name: a\x00",
        "the character U+0000 is not allowed",
        ":2",
        "remove it from the file",
    ),
    "two documents": (
        GOOD + "---\nseed: 1",
        "a second document begins here",
        ":2",
        "keep one document in a file",
    ),
    "deep": (
        "data: " + "[" * 10_000,
        "nested deeper than 16 levels",
        ":1",
        "a recipe needs no more than four",
    ),
    "long": (
        "#" * 1_000_001,
        "the document is longer than 1,000,000 characters",
        "",
        "keep only the settings",
    ),
    "early stopping without validation": (
        "data: {train: a, validation: null}\nearly_stopping_patience: 2",
        "`early_stopping_patience` needs validation rows",
        ":2  early_stopping_patience",
        "set data.validation to a file or a share such as 0.1",
    ),
    "plateau without validation": (
        "data: {train: a, validation: null}\nlr_scheduler: plateau",
        "`lr_scheduler` needs validation rows",
        ":2  lr_scheduler",
        "set data.validation to a file or a share such as 0.1",
    ),
    "only warm-up": (
        GOOD + "max_steps: 5\nwarmup_steps: 5",
        "`warmup_steps` (5) leaves nothing of `max_steps` (5)",
        ":3  warmup_steps",
        "give fewer warm-up steps",
    ),
    "batch smaller than a text": (
        GOOD + "max_tokens_per_batch: 64",
        "one text of `data.max_length` (256) tokens does not fit into 64",
        ":2  max_tokens_per_batch",
        "give at least 256, or a lower data.max_length",
    ),
    "fp16 on a processor": (
        GOOD + "device: cpu\nprecision: fp16",
        "`fp16` needs a GPU",
        ":3  precision",
        "use auto, bf16 or fp32 on a processor",
    ),
    "classes of a regression": (
        GOOD + "problem: regression\nclass_weights: balanced",
        "`class_weights` needs classes, and a regression has none",
        ":3  class_weights",
        "remove it, or set `problem: single_label`",
    ),
    "weight of no class": (
        "data: {train: a, labels: [neg, pos]}\nclass_weights: {pos: 2, neutral: 1}",
        "there is no class `neutral`",
        ":2  class_weights.neutral",
        "the classes are neg, pos",
    ),
    "nothing left to train on": (
        "data: {train: a, validation: 0.5, test: 0.5}",
        "the shares of validation and test leave nothing to train on",
        ":1  data.test",
        "make them sum to less than 1",
    ),
    "one column twice": (
        "data: {train: a, text: t, label: t}",
        "`data.label` and `data.text` are the same column, `t`",
        ":1  data.label",
        "name two different columns",
    ),
    "one class twice": (
        "data: {train: a, labels: [a, b, a]}",
        "given twice: a",
        ":1  data.labels",
        "name each class once",
    ),
}


@pytest.mark.parametrize(("text", "message", "place", "fix"), ONE_PROBLEM.values(), ids=ONE_PROBLEM)
def test_each_mistake_has_its_golden_text(text: str, message: str, place: str, fix: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "train.yaml")
    assert str(caught.value) == f"error[recipe]: {message}\n  --> train.yaml{place}\n  {fix}"


def test_all_problems_come_at_once_in_the_order_of_their_lines() -> None:
    text = "seed: 01\ndata:\n  train: a\n  max_lenth: 3\nbatch_size: 0\nmodel: 7\nlr: 0\n"
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "r.yaml")
    fields = [(problem.line, problem.field) for problem in caught.value.problems]
    assert fields == [
        (1, "seed"),
        (4, "data.max_lenth"),
        (5, "batch_size"),
        (6, "model"),
        (7, "learning_rate"),
    ]


def test_all_conflicts_come_at_once() -> None:
    text = "data: {train: a, validation: null}\nearly_stopping_patience: 2\neval_steps: 3\n"
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "r.yaml")
    assert [problem.field for problem in caught.value.problems] == ["early_stopping_patience", "eval_steps"]


@pytest.mark.parametrize(
    ("word", "value"),
    [("1e-5", 1e-5), ("1E-5", 1e-5), ("3.e-4", 3e-4), (".5", 0.5), ("1_0", 10.0), ("+2", 2.0), ("1", 1.0)],
)
def test_numbers_are_read_as_people_write_them(word: str, value: float) -> None:
    assert parse_recipe(GOOD + f"learning_rate: {word}", "r").learning_rate == value


@pytest.mark.parametrize(("word", "value"), [("no", False), ("off", False), ("Yes", True), ("true", True)])
def test_words_for_booleans_are_read_where_a_boolean_is_expected(word: str, value: bool) -> None:
    assert parse_recipe(GOOD + f"group_by_length: {word}", "r").group_by_length is value


def test_words_of_yaml_are_plain_keys() -> None:
    recipe = parse_recipe(GOOD + "class_weights: {no: 1, 1: 2}", "r")
    assert recipe.class_weights == {"no": 1.0, "1": 2.0}


def test_aliases_of_other_tools_are_understood_and_reported(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(
        dedent("""\
        train_file: a.jsonl
        num_train_epochs: 2
        data: {max_seq_length: 64}
        stages: [{lr: 1e-3}]
        """)
    )
    document = load_document(file, ["per_device_train_batch_size=8"])
    expected = Recipe(
        data=Data(train=["a.jsonl"], max_length=64),
        num_epochs=2,
        stages=[Stage(learning_rate=1e-3)],
        batch_size=8,
    )
    assert document.recipe == expected
    assert document.notes == [
        "`train_file` is understood as `data.train`",
        "`num_train_epochs` is understood as `num_epochs`",
        "`data.max_seq_length` is understood as `data.max_length`",
        "`stages.0.lr` is understood as `stages.0.learning_rate`",
        "`per_device_train_batch_size` is understood as `batch_size`",
    ]
    assert document.base == tmp_path


def test_overrides_win_and_reach_into_sections_and_stages(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(
        "\ufeff" + GOOD + "learning_rate: nonsense\nstages: [{train: head}, {}]\n", encoding="utf-8"
    )
    overrides = [
        "lr=1e-5",
        "data.labels=[a, 'no']",
        "stages.1.learning_rate=2e-5",
        "name=",
        "class_weights.a=2",
    ]
    recipe = load_recipe(file, overrides)
    assert recipe.learning_rate == 1e-5
    assert recipe.data.labels == ["a", "no"]
    assert [stage.learning_rate for stage in recipe.stages] == [None, 2e-5]
    assert recipe.name is None
    assert recipe.class_weights == {"a": 2.0}


BAD_OVERRIDES = {
    "lr=fast": (
        "`learning_rate` can't be `fast`",
        "  learning_rate",
        "give a number greater than 0 and at most 10  (default 0.0001)",
    ),
    "fo=1": ("unknown key `fo`", "  fo", "remove it; `tunewell schema` lists all keys"),
    "lr": ("`lr` is not a setting", "", "write key=value, such as --set learning_rate=3e-5"),
    "=3": ("`=3` is not a setting", "", "write key=value, such as --set learning_rate=3e-5"),
    "stages.0.train=head": (
        "there is no place for `stages.0.train` in the recipe",
        "  stages.0.train",
        "set the whole, such as --set 'stages=[{train: head}, {train: all}]'; list items count from 0",
    ),
    "seed=011": (
        "`011` begins with 0, so YAML may read it as another number",
        "  seed",
        'write 11 for the number, or "011" in quotes for the text',
    ),
}


@pytest.mark.parametrize("override", BAD_OVERRIDES)
def test_bad_overrides_name_themselves(override: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(GOOD)
    message, field, fix = BAD_OVERRIDES[override]
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, [override])
    assert str(caught.value) == f"error[recipe]: {message}\n  --> --set {override}{field}\n  {fix}"


def test_unreadable_files_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_bytes("data: é".encode("cp1252"))
    (tmp_path / "wide.yaml").write_bytes("data: a".encode("utf-16"))
    expected = {
        "trian.yaml": ("there is no such file", "", f"did you mean `{tmp_path / 'train.yaml'}`?"),
        "zzzz": ("there is no such file", "", "make one from your data: tunewell init DATA"),
        "no/r.yaml": (f"there is no folder {tmp_path / 'no'}", "", "check the path"),
        "": ("this is a folder", "", "give the recipe's YAML file"),
        "train.yaml": (
            "the file is not UTF-8: byte 0xe9 at offset 6",
            ":1",
            "save it as UTF-8; it may be in cp1252 (Windows) or latin-1",
        ),
        "wide.yaml": ("the file is in UTF-16", ":1", "save it as UTF-8"),
    }
    for name, (message, line, fix) in expected.items():
        with pytest.raises(RecipeError) as caught:
            load_recipe(tmp_path / name)
        assert str(caught.value) == f"error[recipe]: {message}\n  --> {tmp_path / name}{line}\n  {fix}"


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_line_ends_and_byte_order_mark_are_accepted(tmp_path: Path, newline: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + f"data:{newline}  train: a{newline}seed: 7{newline}".encode())
    assert load_recipe(file) == Recipe(data=Data(train=["a"]), seed=7)


def test_paths_become_absolute_but_for_names_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    recipe = Recipe(
        model="my-model", data=Data(train=["a/*.jsonl", "hub:x/y"], validation=0.2, test=["/t.csv"])
    )
    moved = absolute_paths(recipe, tmp_path)
    assert moved.model == str(tmp_path / "my-model")
    assert moved.data.train == [str(tmp_path / "a/*.jsonl"), "hub:x/y"]
    assert (moved.data.validation, moved.data.test) == (0.2, ["/t.csv"])
    assert absolute_paths(Recipe(data=Data(train=["a"])), tmp_path).model == "minilm"


def test_dump_holds_only_what_differs() -> None:
    recipe = Recipe(data=Data(train=["a"]), learning_rate=1e-5, stages=[Stage(train="head"), Stage()])
    assert (
        dump_recipe(recipe)
        == "data:\n  train:\n  - a\nlearning_rate: 1.0e-05\nstages:\n- train: head\n- {}\n"
    )


printable = st.text(st.characters(codec="utf-8", exclude_characters="\x7f", min_codepoint=32), min_size=1)
words = st.sampled_from(
    ["no", "012", "1e-5", "~", "null", "1", ".inf", " a ", "a: b", "# x", "- x", "0_1", "<<", "="]
)
texts = words | printable


@given(
    st.lists(texts, min_size=1),
    texts,
    st.none() | st.floats(1e-300, 10, exclude_min=True),
    st.integers(0, 2**63 - 1),
    st.none() | st.dictionaries(texts, st.floats(1e-300, 1e300)),
)
def test_dump_round_trips_exactly(
    train: list[str], name: str, rate: float | None, seed: int, weights: dict[str, float] | None
) -> None:
    stages = [Stage(learning_rate=rate, train=name)]
    recipe = Recipe(data=Data(train=train), name=name, seed=seed, class_weights=weights, stages=stages)
    again = parse_recipe(dump_recipe(recipe), "recipe.yaml")
    assert again == recipe
    assert again.hash() == recipe.hash()


@given(st.text())
def test_no_text_brings_anything_but_a_recipe_error(text: str) -> None:
    for document in (text, GOOD + text, f"data: {{train: {text}}}"):
        with contextlib.suppress(RecipeError):
            assert isinstance(parse_recipe(document, "r"), Recipe)


def test_schema_describes_every_key_and_accepts_a_recipe() -> None:
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for section in (schema, *schema["$defs"].values()):
        assert all(key.get("description") for key in section["properties"].values())
    good = {"data": {"train": "a.jsonl", "validation": ["b.csv"]}, "lr": 1e-4, "stages": [{"train": "head"}]}
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**good, "batch_size": 0}, schema)


def test_no_message_is_endless(tmp_path: Path) -> None:
    word = "x" * 100_000
    for text in (
        f"{word}: 1",
        f"!!{word} a",
        f"data: &{word} a",
        f"data: *{word}",
        f"seed: 0{'1' * 9999}",
        f"a: {word}: b",
    ):
        with pytest.raises(RecipeError) as caught:
            parse_recipe(text, "r.yaml")
        assert all(len(str(problem)) < 2000 for problem in caught.value.problems)


@pytest.mark.parametrize("name", ["a" * 300 + ".yaml", "a\0.yaml"])
def test_names_that_can_be_no_file(name: str) -> None:
    with pytest.raises(RecipeError, match="the file can't be read"):
        load_recipe(name)

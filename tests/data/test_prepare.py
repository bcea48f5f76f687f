"""The whole way from files to a data set; every row accounted for."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tunewell.data.ledger import Ledger
from tunewell.data.prepare import Dataset, prepare
from tunewell.problems import DataError, Problem
from tunewell.recipe import Recipe

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
WORDS = [
    "plot",
    "cast",
    "music",
    "light",
    "story",
    "scene",
    "voice",
    "camera",
    "ending",
    "score",
    "pace",
    "wit",
]


def reviews(count: int, seed: int = 0) -> list[dict]:
    draw = random.Random(seed)
    return [
        {"text": f"{' '.join(draw.sample(WORDS, 4))} {i}-{seed}", "label": "ab"[i % 2]} for i in range(count)
    ]


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def prepared(folder: Path, rows: list[dict] | None = None, problem: str | None = None, **data) -> Dataset:
    if rows is not None:
        write(folder / "train.jsonl", rows)
    dataset = prepare(Recipe(data={"train": "train.jsonl", **data}, problem=problem), folder)
    for split, ledger in dataset.ledger.splits.items():
        assert ledger.read == ledger.kept + sum(places.count for places in ledger.dropped.values())
        assert ledger.kept == len(dataset.splits[split])
    ids = [e.row for examples in dataset.splits.values() for e in examples]
    assert len(ids) == len(set(ids))
    return dataset


def problems_of(folder: Path, rows: list[dict] | None = None, **data) -> list[Problem]:
    with pytest.raises(DataError) as caught:
        prepared(folder, rows, **data)
    return caught.value.problems


def test_movie_reviews():
    recipe = Recipe(data={"train": "movie_reviews_train.csv", "test": "movie_reviews_test.csv"})
    dataset = prepare(recipe, EXAMPLES)
    assert {name: len(examples) for name, examples in dataset.splits.items()} == {
        "train": 7239, "validation": 804, "test": 2000,
    }  # fmt: skip
    assert dataset.labels == ["negative", "positive"]
    assert dataset.ledger.leakage == {}
    assert dataset.ledger.rows_read == 10_043
    first = dataset.splits["test"][0]
    with (EXAMPLES / "movie_reviews_test.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert (first.text, dataset.labels[first.target], first.place) == (
        row["text"],
        row["label"],
        "movie_reviews_test.csv:2",
    )


def test_four_sentences():
    dataset = prepare(Recipe(data={"train": "four_sentences.jsonl", "validation": None}), EXAMPLES)
    assert [e.target for e in dataset.splits["train"]] == [0, 1, 0, 1]
    assert dataset.labels == ["好评", "差评"]
    dataset = prepare(Recipe(data={"train": "four_sentences.jsonl"}), EXAMPLES)
    assert [len(examples) for examples in dataset.splits.values()] == [3, 1]
    assert any(note.startswith("validation has no row of") for note in dataset.ledger.notes)


def test_same_files_give_the_same_rows_and_hash(tmp_path):
    rows = reviews(50)
    one, two = prepared(tmp_path, rows, test=0.2), prepared(tmp_path, rows, test=0.2)
    assert one == two
    assert len(one.hash) == 16
    assert prepared(tmp_path, rows, test=0.2, split_seed=1).hash != one.hash
    rows[7]["text"] += "!"
    assert prepared(tmp_path, rows, test=0.2).hash != one.hash
    shuffled = prepared(tmp_path, random.Random(0).sample(rows, 50), test=0.2)
    again = prepared(tmp_path, rows, test=0.2)
    assert {e.text for e in shuffled.splits["test"]} == {e.text for e in again.splits["test"]}


def test_bad_rows_refuse_or_are_left_out(tmp_path):
    rows = reviews(20)
    rows[3]["text"] = "  "
    rows[5]["label"] = None
    del rows[6]["text"]
    rows[7]["text"] = ["a"]
    rows[8]["text"] = "half \ud800"
    rows[9]["text"] = "nul \0"
    write(tmp_path / "train.jsonl", rows)
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"text": "cut')
    found = problems_of(tmp_path)
    assert sorted((p.line, p.message) for p in found) == [
        (4, "the text is empty"),
        (6, "no label"),
        (7, "no text"),
        (8, "a list where a text is expected"),
        (9, "the text holds half a character (U+D800) at position 5"),
        (10, "the text holds a NUL character at position 4"),
        (21, "the last line is cut off: the text that begins at column 10 never ends"),
    ]
    assert found[-1].fix.endswith(
        "or go on without the bad rows: --skip-bad (in a recipe data.skip_bad: true)"
    )
    dataset = prepared(tmp_path, skip_bad=True)
    train = dataset.ledger.splits["train"]
    assert (train.read + dataset.ledger.splits["validation"].read, dataset.ledger.rows_read) == (21, 21)
    assert {reason: found.places for reason, found in train.dropped.items()} == {
        "unreadable": ["train.jsonl:21"],
        "empty text": ["train.jsonl:4"],
        "no label": ["train.jsonl:6"],
        "no text": ["train.jsonl:7"],
        "text of a wrong type": ["train.jsonl:8"],
        "unusable text": ["train.jsonl:9", "train.jsonl:10"],
    }
    kept = {e.place: e.row for examples in dataset.splits.values() for e in examples}
    assert kept["train.jsonl:20"] == 19


def test_many_problems_are_counted(tmp_path):
    rows = reviews(100)
    for row in rows[:60]:
        row["label"] = None
    found = problems_of(tmp_path, rows)
    assert len(found) == 20
    assert found[-1].message == "41 more of them; in all: 60 no label"


def test_problems_of_all_files_at_once(tmp_path):
    write(tmp_path / "train.jsonl", reviews(4))
    found = problems_of(tmp_path, validation="v.jsonl", test=["t.csv", "trian.jsonl"])
    assert [p.file for p in found] == ["v.jsonl", "t.csv", "trian.jsonl"]


def test_nothing_left(tmp_path):
    found = problems_of(tmp_path, [{"text": "", "label": "a"}] * 3, skip_bad=True)
    assert [p.message for p in found] == [
        "no row is left to train on: 3 bad rows",
        *["the text is empty"] * 3,
    ]
    (tmp_path / "train.jsonl").write_text("{\n")
    assert problems_of(tmp_path, skip_bad=True)[1].message.startswith("not JSON")
    found = problems_of(tmp_path, reviews(2), validation=0.4, test=0.4)
    assert [p.message for p in found] == [
        f"no row is left in {split}: 0.4 of so few rows or groups" for split in ("validation", "test")
    ]


def test_leakage(tmp_path):
    train, test = reviews(30), reviews(10, seed=1)
    test[2] = {"text": train[4]["text"].upper() + "  ", "label": "a"}
    write(tmp_path / "test.jsonl", test)
    (problem,) = problems_of(tmp_path, train, test="test.jsonl", validation=None)
    assert (
        "1 training rows have a text that stands in test too, such as train.jsonl:5 = test.jsonl:3"
        in problem.message
    )
    assert "drop" in problem.fix
    dropped = prepared(tmp_path, test="test.jsonl", leakage="drop", validation=None)
    assert len(dropped.splits["train"]) == 29
    assert dropped.ledger.splits["train"].dropped["stands in test too"].places == ["train.jsonl:5"]
    allowed = prepared(tmp_path, test="test.jsonl", leakage="allow", validation=None)
    assert allowed.ledger.leakage["train/test"].places == ["train.jsonl:5 = test.jsonl:3"]
    assert len(allowed.splits["train"]) == 30


def test_splitting_by_share_never_leaks(tmp_path):
    rows = reviews(30) * 2
    dataset = prepared(tmp_path, rows, test=0.2, validation=0.2)
    assert dataset.ledger.leakage == {}
    assert dataset.ledger.splits["train"].duplicates.count == len(dataset.splits["train"]) // 2


def test_duplicates_and_conflicts(tmp_path):
    rows = reviews(10)
    rows += [rows[0], {"text": rows[1]["text"], "label": "a"}]
    dataset = prepared(tmp_path, rows, validation=None)
    assert dataset.ledger.splits["train"].duplicates.places == ["train.jsonl:11 = train.jsonl:1"]
    assert dataset.ledger.conflicts.places == ["train.jsonl:2 = train.jsonl:12"]
    dataset = prepared(tmp_path, rows, validation=None, drop_duplicates=True)
    assert dataset.ledger.splits["train"].dropped["duplicate"].places == ["train.jsonl:11"]
    assert len(dataset.splits["train"]) == 11


def test_groups_stay_together(tmp_path):
    rows = [{**row, "author": f"author {i % 10}"} for i, row in enumerate(reviews(100))]
    dataset = prepared(tmp_path, rows, test=0.2, group_by="author", stratify=False)
    authors = {split: {e.row % 10 for e in examples} for split, examples in dataset.splits.items()}
    assert not authors["train"] & authors["test"]
    assert not authors["train"] & authors["validation"]
    assert len(dataset.splits["test"]) == 20


def test_max_rows_is_a_sample_of_training_rows(tmp_path):
    rows = reviews(100)
    dataset = prepared(tmp_path, rows, max_rows=30, validation=0.2)
    assert [len(examples) for examples in dataset.splits.values()] == [30, 20]
    more = prepared(tmp_path, rows, max_rows=40, validation=0.2)
    assert {e.row for e in dataset.splits["train"]} < {e.row for e in more.splits["train"]}
    assert dataset.ledger.splits["train"].dropped["beyond max_rows"].count == 50
    assert "all of one class" in problems_of(tmp_path, rows, max_rows=1)[0].message


def test_class_absent_from_validation(tmp_path):
    write(tmp_path / "v.jsonl", [{"text": "some", "label": "a"}])
    dataset = prepared(tmp_path, reviews(10), validation="v.jsonl")
    note = "validation has no row of `b`; set data.validation to a share, such as 0.1, for a stratified split"
    assert note in dataset.ledger.notes


def test_ids_that_stand_twice(tmp_path):
    rows = [{**row, "id": i} for i, row in enumerate(reviews(10))]
    rows[4]["id"] = 2
    (problem,) = problems_of(tmp_path, rows, id="id")
    assert (problem.line, problem.message) == (5, "the id `2` stands at train.jsonl:3 too")
    assert len(prepared(tmp_path, rows, id="id", skip_bad=True, validation=None).splits["train"]) == 9
    assert "id: column `id` repeats itself in 1 rows of train" in prepared(tmp_path, rows).ledger.notes


def test_pairs(tmp_path):
    rows = [{"sentence1": f"same {i % 2}", "sentence2": f"other {i}", "label": i % 2} for i in range(8)]
    dataset = prepared(tmp_path, rows, validation=None)
    assert dataset.splits["train"][3].text_pair == "other 3"
    assert dataset.ledger.splits["train"].duplicates.count == 0
    assert dataset.ledger.columns == {"text": "sentence1", "text_pair": "sentence2", "label": "label"}
    rows[2]["sentence2"] = None
    assert problems_of(tmp_path, rows)[0].field == "sentence2"


def test_numbers_and_control_characters_are_noted(tmp_path):
    rows = [*reviews(6), {"text": 1984, "label": "a"}, {"text": "bell \a", "label": "b"}]
    dataset = prepared(tmp_path, rows, validation=None)
    assert "train.jsonl: 1 texts are numbers, taken as they are written" in dataset.ledger.notes
    assert dataset.ledger.control_characters.places == ["train.jsonl:8"]
    cleaned = prepared(tmp_path, rows, validation=None, clean=["normalize_unicode", "trim"])
    assert cleaned.ledger.control_characters.count == 0
    assert cleaned.splits["train"][7].text == "bell"


def test_a_column_that_begins_with_nulls(tmp_path):
    rows = reviews(300)
    for row in rows[:150]:
        row["label"] = None
    dataset = prepared(tmp_path, rows, skip_bad=True, validation=None)
    assert (len(dataset.splits["train"]), dataset.labels) == (150, ["a", "b"])


def test_regression_and_several_labels(tmp_path):
    rows = [{"text": f"text {i}", "label": i / 10} for i in range(20)]
    dataset = prepared(tmp_path, rows, test=0.25)
    assert (dataset.problem, dataset.labels, dataset.ledger.splits["test"].balance) == ("regression", [], {})
    assert [len(examples) for examples in dataset.splits.values()] == [13, 2, 5]
    rows = [{"text": f"text {i}", "label": ["x"] * (i % 2) + ["y"] * (i % 3 == 0)} for i in range(60)]
    dataset = prepared(tmp_path, rows, test=0.2)
    assert (dataset.problem, dataset.labels) == ("multi_label", ["x", "y"])
    total = Counter()
    for split in dataset.ledger.splits.values():
        total.update(split.balance)
    assert total == {"x": 30, "y": 20}
    assert dataset.ledger.splits["test"].balance == {"x": 6, "y": 4}


def test_ledger_reads_and_encodes(tmp_path):
    rows = reviews(40)
    rows[1]["label"] = None
    ledger = prepared(tmp_path, rows, skip_bad=True).ledger
    ledger = ledger.with_lengths(
        "train", np.array([10, 20, 256], np.int32), 256, np.array([False, False, True])
    )
    assert (ledger.splits["train"].truncated, ledger.splits["train"].tokens.longest) == (1, 256)
    assert ledger.splits["validation"].tokens is None
    assert msgspec.json.decode(msgspec.json.encode(ledger), type=Ledger) == ledger
    text = "\n".join(ledger.lines())
    for part in (
        "40 rows read: text from `text`, label from `label`; single_label",
        "  dropped, no label: 1 (train.jsonl:2)",
        "1 cut at 256 (2.9%)",
        "labels: a → 0, b → 1",
    ):
        assert part in text


@pytest.mark.slow
def test_fifty_thousand_rows_in_seconds(tmp_path):
    import time

    rows = [{"text": f"{' '.join(WORDS * 18)} {i}", "label": i % 2} for i in range(50_000)]
    write(tmp_path / "train.jsonl", rows)
    began = time.perf_counter()
    prepared(tmp_path, test=0.2, clean=["strip_html", "trim", "collapse_spaces"])
    assert time.perf_counter() - began < 20


def test_bytes_that_are_not_utf8_are_bad_texts_and_no_labels(tmp_path):
    rows = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(8)).encode()
    (tmp_path / "train.csv").write_bytes(b"text,label\n" + rows + b"caf\xe9,a\ntext 9,\xe9\n")
    recipe = Recipe(data={"train": "train.csv", "validation": None, "skip_bad": True})
    dataset = prepare(recipe, tmp_path)
    assert dataset.labels == ["a", "b"]
    train = dataset.ledger.splits["train"]
    assert {reason: found.places for reason, found in train.dropped.items()} == {
        "unusable text": ["train.csv:10"],
        "no label": ["train.csv:11"],
    }


def test_a_column_of_ids_is_no_column_of_classes(tmp_path):
    rows = [{"text": f"a {i}", "label": 10**17 + i % 2} for i in range(6)]
    (problem,) = problems_of(tmp_path, rows)
    assert (
        problem.message == "6 labels are numbers such as 100000000000000000: they look like ids, not classes"
    )
    rows[1:] = reviews(12)
    (problem,) = problems_of(tmp_path, rows)  # one alone is a bad row
    assert (problem.line, problem.message.partition(" is ")[2]) == (1, "too big for a class: is it an id?")


def test_problems_come_in_the_order_of_their_places(tmp_path):
    rows = reviews(6)
    rows[1]["label"], rows[2]["text"], rows[3]["label"] = None, "", None
    assert [p.line for p in problems_of(tmp_path, rows)] == [2, 3, 4]


def test_what_leaves_a_split_empty_is_told(tmp_path):
    rows = reviews(6)
    write(tmp_path / "held.jsonl", rows)
    (problem,) = problems_of(tmp_path, rows, validation="held.jsonl", leakage="drop")
    assert problem.message == "no row is left in train: 6 left out (stands in validation too)"

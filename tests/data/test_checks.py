from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tunewell.data.batches import BatchOrder
from tunewell.data.checks import check_arrays, check_examples
from tunewell.data.example import Example
from tunewell.inspections import DataCheck, DataChecked
from tunewell.records import decode, encode


def rows(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return three well separated classes of eight numbers."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 3, count)
    centres = np.random.default_rng(7).normal(0, 3, (3, 8))
    return (centres[classes] + generator.normal(0, 1, (count, 8))).astype(np.float32), classes


def checked(inputs: object, targets: object, **others: object) -> dict[str, DataCheck]:
    found = check_arrays(inputs, targets, **others)
    assert isinstance(found, DataChecked)
    assert decode(encode(found)) == found
    return found.checks


def test_clean_rows_show_nothing() -> None:
    inputs, classes = rows()
    checks = checked(inputs, classes, validation=rows(100, seed=1))
    for name in ("duplicates", "leakage", "conflicts", "unsupervised"):
        assert checks[name].count == 0, name
        assert checks[name].of == 300
    assert checks["signal"].numbers["accuracy"] > 0.9
    assert checks["signal"].numbers["shifted_accuracy"] < 0.5
    assert checks["balance"].numbers["ratio"] < 2
    assert checks["truncated_targets"].why_not


def test_equal_rows_are_found_with_their_partners() -> None:
    inputs, classes = rows()
    again = np.concatenate([inputs, inputs[:30]]), np.concatenate([classes, classes[:30]])
    found = checked(*again)["duplicates"]
    assert (found.count, found.of) == (30, 330)
    assert found.rows == list(range(300, 330))
    assert found.partners == list(range(30))
    assert found.numbers["near"] == 0


def test_rows_of_the_validation_split_are_found_in_training() -> None:
    inputs, classes = rows()
    validation = rows(50, seed=1)
    mixed = np.concatenate([inputs, validation[0][:20]]), np.concatenate([classes, validation[1][:20]])
    found = checked(*mixed, validation=validation)["leakage"]
    assert found.rows == list(range(300, 320))
    assert found.partners == list(range(20))
    assert (found.numbers["validation_known"], found.numbers["validation_rows"]) == (20, 50)


def test_equal_inputs_with_unlike_targets_are_conflicts() -> None:
    inputs, classes = rows()
    mixed = np.concatenate([inputs, inputs[:10]]), np.concatenate([classes, (classes[:10] + 1) % 3])
    found = checked(*mixed)["conflicts"]
    assert found.count == 20
    assert found.numbers["inputs"] == 10


def test_few_different_inputs_repeat_by_chance() -> None:
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, (400, 6)).astype(np.float32)
    found = checked(bits, generator.integers(0, 2, 400), validation=(bits[:50], np.zeros(50, dtype=int)))
    assert found["duplicates"].count == pytest.approx(400 - 64, abs=5)
    assert found["duplicates"].numbers["expected"] > 0.9 * found["duplicates"].count
    assert found["leakage"].numbers["expected"] > 0.3 * found["leakage"].count


def test_texts_tensors_lists_of_tokens_and_one_hot_targets_are_understood() -> None:
    texts = [f"a film about {word} number {i}" for i in range(30) for word in ("love", "war")]
    assert checked(texts, [0, 1] * 30)["signal"].numbers["accuracy"] == 1.0
    inputs, classes = rows()
    as_tensors = checked(torch.tensor(inputs).reshape(300, 2, 4).requires_grad_(), torch.tensor(classes))
    assert as_tensors["signal"].numbers["accuracy"] > 0.9
    one_hot = checked(inputs, np.eye(3)[classes])
    assert one_hot["classes"].numbers == as_tensors["classes"].numbers
    ragged = checked({"input_ids": [[5, 6], [5, 6, 7], [5, 6]]}, [0, 1, 0])
    assert ragged["duplicates"].rows == [2]
    assert ragged["signal"].why_not == "fewer than 40 training rows"


def test_numbers_as_targets() -> None:
    inputs, _ = rows()
    checks = checked(inputs, inputs @ np.arange(8.0) + np.random.default_rng(1).normal(0, 1, 300))
    assert checks["signal"].numbers["accuracy"] > 0.9
    assert checks["signal"].numbers["chance"] == 0
    assert checks["classes"].why_not
    assert checks["balance"].why_not


def test_several_labels_a_row() -> None:
    inputs, classes = rows()
    several = np.stack([classes == 0, classes != 1], axis=1).astype(int)
    checks = checked(inputs, several, class_names=["first", "not second"])
    assert checks["classes"].numbers["first"] == (classes == 0).sum()
    assert checks["signal"].numbers["accuracy"] > 0.9


def test_as_many_targets_as_inputs() -> None:
    with pytest.raises(ValueError, match="3 inputs, but 2 targets"):
        checked(np.zeros((3, 2)), np.zeros(2))


def test_our_own_examples_are_named_by_their_place(tmp_path: Path) -> None:
    texts = [
        f"{'good' if i % 2 else 'bad'} film number {i}, seen in row {i % 7} of house {i % 11}"
        for i in range(80)
    ]
    examples = [Example(i, f"a.csv:{i + 2}", text, None, i % 2) for i, text in enumerate(texts)]
    validation = [Example(80, "b.csv:2", texts[3], None, 1)]
    order = BatchOrder([8] * 80, seed=1, batch_size=8)
    found = check_examples(
        {"train": examples, "validation": validation},
        ["no", "yes"],
        "single_label",
        batches=[order.batch_at(cursor) for cursor in range(10)],
        reweighted=True,
    ).checks
    assert found["leakage"].detail == "a.csv:5 = b.csv:2."
    assert (found["leakage"].rows, found["leakage"].partners) == ([3], [80])
    assert found["classes"].numbers == {"no": 40, "yes": 40}
    assert found["balance"].numbers["reweighted"] == 1
    assert abs(found["order"].numbers["z"]) < 4

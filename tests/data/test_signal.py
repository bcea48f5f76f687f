from __future__ import annotations

import numpy as np
import pytest

from tunewell.data.checked_rows import from_arrays
from tunewell.data.signal import check_signal


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 5, count)
    centres = np.random.default_rng(7).normal(0, 1.5, (5, 10))
    return (centres[classes] + generator.normal(0, 1, (count, 10))).astype(np.float32), classes


def signal(
    inputs: np.ndarray, targets: np.ndarray, held_out: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, float]:
    validation = None if held_out is None else from_arrays(*held_out)
    return check_signal(from_arrays(inputs, targets), validation).numbers


def test_unrelated_targets_are_at_chance() -> None:
    inputs, classes = rows(300)
    numbers = signal(inputs, np.random.default_rng(1).permutation(classes))
    assert abs(numbers["accuracy"] - 0.2) < 3 * numbers["standard_error"]


@pytest.mark.parametrize("shift", [-1, 1])
def test_targets_of_the_neighbouring_row(shift: int) -> None:
    inputs, classes = rows(300)
    numbers = signal(inputs, np.roll(classes, shift))
    assert numbers["accuracy"] < 0.35
    assert numbers["shifted_accuracy"] > 0.8
    assert numbers["shifted_by"] == -shift


def test_classes_counted_from_another_number() -> None:
    inputs, classes = rows(300)
    held_out = rows(100, seed=1)
    assert signal(inputs, classes, held_out)["held_out_accuracy"] > 0.8
    moved = signal(inputs, (classes + 1) % 5, held_out)
    assert moved["held_out_accuracy"] < 0.1
    assert moved["class_shifted_accuracy"] > 0.8
    assert moved["class_shifted_by"] == 1


def test_what_lies_in_a_combination_is_seen_in_numbers() -> None:
    inputs = np.random.default_rng(0).normal(0, 1, (500, 4)).astype(np.float32)
    numbers = signal(inputs, ((inputs[:, 0] > 0) ^ (inputs[:, 1] > 0)).astype(int))
    assert numbers["accuracy"] > 0.8


def test_a_large_class_is_no_signal() -> None:
    inputs, _ = rows(300)
    rare = (np.random.default_rng(3).random(300) < 0.2).astype(int)
    numbers = signal(inputs, rare)
    assert abs(numbers["accuracy"] - 0.5) < 3 * numbers["standard_error"]


def test_tokens_count_by_what_and_where_they_are() -> None:
    tokens = np.random.default_rng(0).integers(1, 9, (400, 12))
    assert signal(tokens, (tokens[:, 3] > 4).astype(int))["accuracy"] > 0.9


def test_many_rows_are_sampled_with_their_neighbours() -> None:
    inputs, classes = rows(5000)
    found = check_signal(from_arrays(inputs, np.roll(classes, 1)), None)
    assert found.of == 2000
    assert found.numbers["shifted_accuracy"] > 0.8

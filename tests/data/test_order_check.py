from __future__ import annotations

import numpy as np

from tunewell.data.checked_rows import from_arrays
from tunewell.data.order_check import check_order

CLASSES = np.random.default_rng(0).integers(0, 4, 640)


def in_order(count: int, size: int = 32) -> list[list[int]]:
    return [list(range(i, min(i + size, count))) for i in range(0, count, size)]


def checked(targets: np.ndarray, batches: list[list[int]] | None) -> dict[str, float]:
    return check_order(from_arrays(np.zeros((len(targets), 1)), targets), batches).numbers


def test_random_rows_are_mixed() -> None:
    numbers = checked(CLASSES, in_order(640))
    assert abs(numbers["z"]) < 3
    assert numbers["drift"] < 0.1


def test_sorted_rows_are_pure() -> None:
    numbers = checked(np.sort(CLASSES), in_order(640))
    assert numbers["purity"] > 0.9
    assert numbers["z"] > 50
    assert numbers["drift"] > 0.85


def test_sorted_rows_that_are_drawn_at_random_are_mixed() -> None:
    order = np.random.default_rng(1).permutation(640)
    numbers = checked(np.sort(CLASSES), [order[batch].tolist() for batch in in_order(640)])
    assert abs(numbers["z"]) < 3
    assert numbers["drift"] > 0.85


def test_numbers_that_rise_along_the_file() -> None:
    rising = np.arange(640) + np.random.default_rng(0).normal(0, 5, 640)
    assert checked(rising, in_order(640))["purity"] > 0.95
    assert abs(checked(rising[np.random.default_rng(0).permutation(640)], in_order(640))["z"]) < 3


def test_unknown_order_and_unknown_targets_are_said() -> None:
    assert "not known" in check_order(from_arrays(np.zeros((640, 1)), CLASSES), None).detail
    sequences = from_arrays(np.zeros((8, 3), dtype=int), np.zeros((8, 3), dtype=int))
    assert check_order(sequences, in_order(8)).why_not


def test_rows_without_a_target_are_passed_over() -> None:
    some = CLASSES.copy()
    some[::3] = -100
    assert check_order(from_arrays(np.zeros((640, 1)), some), in_order(640)).of == (some >= 0).sum()

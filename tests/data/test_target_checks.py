from __future__ import annotations

import numpy as np
import pytest

from tunewell.data.checked_rows import CheckedRows, from_arrays
from tunewell.data.target_checks import (
    check_alignment,
    check_balance,
    check_classes,
    check_scale,
    check_truncated_targets,
    check_unsupervised,
)

END, PAD = 30, 31


def answers(count: int = 100, seed: int = 0, offset: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return prompts of four tokens with answers of two to eight and an end, and their targets, prompts masked."""
    generator = np.random.default_rng(seed)
    whole = np.full((count, 15), PAD)
    whole[:, :4] = generator.integers(0, 30, (count, 4))
    for row, length in zip(whole, generator.integers(2, 9, count), strict=True):
        row[4 : 4 + length] = generator.integers(0, 30, length)
        row[4 + length] = END
    targets = np.roll(whole, -offset, axis=1)
    targets[:, : 4 - offset] = -100
    targets[:, 15 - offset :] = -100
    targets[targets == PAD] = -100
    return whole, targets


def test_whole_answers_are_whole() -> None:
    assert check_truncated_targets(from_arrays(*answers())).count == 0


@pytest.mark.parametrize("width", [8, 9, 11])
def test_rows_cut_at_a_length_lack_their_end(width: int) -> None:
    inputs, targets = answers()
    cut = (targets[:, width:] != -100).any(axis=1)
    found = check_truncated_targets(from_arrays(inputs[:, :width], targets[:, :width]))
    assert found.rows == np.flatnonzero(cut).tolist()


def test_targets_masked_before_the_inputs_end() -> None:
    inputs, targets = answers()
    targets[:40, 8:] = -100
    lost = [row for row in range(40) if (answers()[1][row, 8:] != -100).any()]
    assert check_truncated_targets(from_arrays(inputs, targets)).rows == lost


def test_sequences_without_an_end_mark_are_not_judged_by_one() -> None:
    tokens = np.random.default_rng(0).integers(0, 5, (100, 12))
    assert check_truncated_targets(from_arrays(tokens, tokens)).count == 0


def test_rows_without_a_target() -> None:
    inputs, targets = answers()
    targets[[3, 9]] = -100
    assert check_unsupervised(from_arrays(inputs, targets)).rows == [3, 9]
    assert check_unsupervised(from_arrays(np.zeros((5, 2)), [0, 1, -100, 0, 1])).rows == [2]
    assert check_unsupervised(from_arrays(np.zeros((3, 2)), [0.5, np.nan, 1.0])).rows == [1]


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_how_far_targets_are_moved(offset: int) -> None:
    numbers = check_alignment(from_arrays(*answers(offset=offset))).numbers
    assert numbers["offset"] == offset
    assert numbers["share"] == 1.0
    assert numbers["next"] < 0.3


def test_scale() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    assert check_scale(from_arrays(pixels, np.zeros(50))).numbers["rms"] == pytest.approx(147, abs=5)
    assert check_scale(from_arrays(pixels / 255, np.zeros(50))).numbers["rms"] == pytest.approx(
        0.58, abs=0.05
    )
    assert check_scale(from_arrays(["a"], [0])).why_not
    broken = np.ones((4, 2))
    broken[1, 1] = np.inf
    assert check_scale(from_arrays(broken, np.zeros(4))).count == 1


def test_counts_of_classes() -> None:
    rows: CheckedRows = from_arrays(np.zeros((60, 1)), [0] * 50 + [2] * 5 + [-100] * 5)
    assert check_classes(rows, ["a", "b", "c"]).numbers == {"a": 50, "b": 0, "c": 5}
    balance = check_balance(rows, ["a", "b", "c"], reweighted=False)
    assert balance.numbers["ratio"] == 10
    assert balance.detail == "c"

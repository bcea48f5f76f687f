from __future__ import annotations

import numpy as np
import pytest

from tunewell.data.belonging import belonging
from tunewell.data.checked_rows import from_arrays
from tunewell.data.target_checks import check_alignment, check_truncated_targets

END, PAD = 30, 31


def answers(count: int = 100, offset: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return prompts of four tokens with answers of two to eight and an end, and their targets, prompts masked."""
    generator = np.random.default_rng(0)
    whole = np.full((count, 15), PAD)
    for row, length in zip(whole, generator.integers(2, 9, count), strict=True):
        row[: 4 + length] = generator.integers(0, 30, 4 + length)
        row[4 + length] = END
    targets = np.full_like(whole, -100)
    targets[:, 4 - offset : 15 - offset] = whole[:, 4:]
    targets[targets == PAD] = -100
    return whole, targets


@pytest.mark.parametrize("offset", [0, 1])
def test_targets_are_their_own_rows_tokens(offset: int) -> None:
    found = check_alignment(from_arrays(*answers(offset=offset)))
    assert (found.count, found.of, found.numbers["own"]) == (0, 100, 1.0)


@pytest.mark.parametrize("offset", [0, 1])
def test_rows_with_other_words_are_named(offset: int) -> None:
    inputs, targets = answers(offset=offset)
    words = (targets[:30] != -100) & (targets[:30] != END)
    targets[:30] = np.where(words, (targets[:30] + 7) % 30, targets[:30])
    found = check_alignment(from_arrays(inputs, targets))
    assert found.rows == list(range(30))
    assert found.numbers["own"] == 0.7


@pytest.mark.parametrize("offset", [0, 1])
def test_targets_of_other_rows(offset: int) -> None:
    inputs, targets = answers(offset=offset)
    numbers = belonging(from_arrays(inputs[np.random.default_rng(1).permutation(100)], targets)).numbers
    assert numbers["elsewhere"] == 1.0
    assert max(numbers["own"], numbers["shifted"], numbers["by_chance"]) < 0.2


@pytest.mark.parametrize("by", [-1, 1])
def test_targets_of_the_neighbours(by: int) -> None:
    inputs, targets = answers()
    numbers = belonging(from_arrays(inputs, np.roll(targets, by, axis=0))).numbers
    assert (numbers["shifted"], numbers["shifted_by"]) == (1.0, -by)


def test_tags_and_few_short_rows_are_no_other_rows_tokens() -> None:
    inputs, _ = answers()
    tags = np.where(inputs == PAD, -100, inputs % 5)
    assert belonging(from_arrays(inputs, tags)).numbers["elsewhere"] < 0.1
    bits = np.random.default_rng(0).integers(0, 2, (400, 6))
    turned = belonging(from_arrays(bits, bits[:, ::-1])).numbers
    assert turned["by_chance"] > 0.9  # every row of six bits stands somewhere


def test_corrections_of_a_few_words_are_not_wrong_targets() -> None:
    inputs, targets = answers(offset=0)
    typed = np.where(np.random.default_rng(1).random(inputs.shape) < 0.1, 5, inputs)
    assert check_alignment(from_arrays(typed, targets)).count == 0


def test_shuffled_rows_are_not_cut_ones() -> None:
    inputs, targets = answers(400)
    order = np.random.default_rng(1).permutation(400)
    assert check_truncated_targets(from_arrays(inputs[order], targets)).count == 0


def test_the_ends_mark_is_not_padding() -> None:
    """Where the longest rows have lost a few places, most others' last input is their end's mark."""
    (inputs, targets), width = answers(400), 8
    ends = (inputs == END).argmax(axis=1)
    kept = np.flatnonzero((ends == width - 1) | (ends > width) | ((ends == 6) & (np.arange(400) % 4 == 0)))
    found = check_truncated_targets(from_arrays(inputs[kept, :width], targets[kept, :width]))
    assert found.rows == np.flatnonzero(ends[kept] > width).tolist()

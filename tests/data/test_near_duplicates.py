from __future__ import annotations

import random

import numpy as np

from tunewell.data.checked_rows import from_arrays
from tunewell.data.near_duplicates import keys, near_pairs

WORDS = [f"word{i}" for i in range(400)]


def sentence(rng: random.Random, length: int = 60) -> str:
    return " ".join(rng.choices(WORDS, k=length))


def pairs(inputs: object) -> list[tuple[int, int]]:
    return near_pairs(from_arrays(inputs, np.zeros(len(inputs))))[0]


def test_keys_are_equal_but_for_case_and_spaces() -> None:
    one, other, third = keys(from_arrays(["A  film", "a film ", "a films"], [0, 1, 0]))
    assert one == other != third


def test_texts_with_a_few_words_changed_are_near() -> None:
    rng = random.Random(0)
    texts = [sentence(rng) for _ in range(50)]
    changed = texts[7].split()
    changed[30] = "another"
    half = texts[8].split()[:30] + sentence(rng, 30).split()
    assert pairs([*texts, " ".join(changed), " ".join(half)]) == [(50, 7)]


def test_a_shared_template_makes_no_duplicates() -> None:
    rng = random.Random(0)
    prompt = sentence(rng, 100)
    assert pairs([f"{prompt} {sentence(rng, 5)}" for _ in range(100)]) == []


def test_short_rows_that_differ_in_one_token_are_not_near() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 12, (50, 14))
    tokens[1] = tokens[0]
    tokens[1, 0] = 13
    assert pairs(tokens) == []


def test_texts_without_spaces_are_compared_by_characters() -> None:
    rng = random.Random(0)
    texts = ["".join(chr(0x4E00 + rng.randrange(2000)) for _ in range(80)) for _ in range(30)]
    assert pairs([*texts, texts[4][:78] + "新的"]) == [(30, 4)]


def test_copies_with_small_noise_are_near_and_neighbours_are_not() -> None:
    generator = np.random.default_rng(0)
    numbers = generator.normal(0, 1, (400, 12)).astype(np.float32)
    assert pairs(numbers) == []
    noisy = numbers[:5] + generator.normal(0, 1e-3, (5, 12)).astype(np.float32)
    assert pairs(np.concatenate([numbers, noisy])) == [(400 + i, i) for i in range(5)]


def test_in_two_dimensions_close_rows_are_chance() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (2000, 2)).astype(np.float32)
    assert pairs(points) == []


def test_too_many_rows_are_said() -> None:
    found, why_not = near_pairs(from_arrays(np.zeros((10_001, 2), dtype=np.float32), np.zeros(10_001)))
    assert found == []
    assert "only equal ones" in why_not

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from tunewell.data.beforehand import said_of_arrays, said_of_examples
from tunewell.data.example import Example
from tunewell.data.row_review import RowReview, is_due

NAMES = ["low", "middle", "high"]


@cache
def rows(count: int = 480) -> tuple[np.ndarray, np.ndarray]:
    """Return three classes of six numbers that overlap a little."""
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 3, count)
    return generator.normal(0, 1, (count, 6)) + 1.3 * np.eye(6)[classes] * [1, 1, 1, 0, 0, 0] * 2, classes


def with_wrong(share: float, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    classes = rows()[1]
    wrong = generator.random(len(classes)) < share
    return np.where(wrong, (classes + generator.integers(1, 3, len(classes))) % 3, classes)


def learned(review: RowReview, given: np.ndarray, epochs: int, seed: int = 0) -> None:
    """Train a softmax regression by SGD, and hand every batch's logits to `review`."""
    inputs, generator = rows()[0], np.random.default_rng(seed)
    weights = np.zeros((6, 3))
    for _ in range(epochs):
        order = generator.permutation(len(given))
        for batch in np.split(order, range(32, len(given), 32)):
            logits = inputs[batch] @ weights
            review.note(batch, logits)
            likely = np.exp(logits - logits.max(axis=1, keepdims=True))
            likely /= likely.sum(axis=1, keepdims=True)
            weights -= 0.2 / len(batch) * inputs[batch].T @ (likely - np.eye(3)[given[batch]])


@cache
def said(given: bytes) -> list[np.ndarray]:
    return said_of_arrays(rows()[0], np.frombuffer(given, dtype=np.int64), 3)


def beforehand(given: np.ndarray) -> Callable[[], list[np.ndarray]]:
    return lambda: said(given.tobytes())


def f1(review: RowReview, given: np.ndarray) -> float:
    wrong = set(np.flatnonzero(given != rows()[1]).tolist())
    named = {one.row - 1000 for one in review.review(20, 1).suspects}
    return 2 * len(wrong & named) / (len(wrong) + len(named))


def reviewed(share: float, epochs: int = 1) -> tuple[RowReview, np.ndarray]:
    given = with_wrong(share)
    review = RowReview(np.arange(480) + 1000, given, NAMES, beforehand(given))
    learned(review, given, epochs)
    return review, given


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_wrong_targets_are_counted_and_named_after_an_epoch(share: float) -> None:
    review, given = reviewed(share)
    found = review.review(20, 1)
    assert found.estimate == pytest.approx(np.mean(given != rows()[1]), abs=0.04)
    assert f1(review, given) > 0.8
    surest = found.suspects[0]
    assert surest.given == NAMES[given[surest.row - 1000]]
    assert surest.suggested == NAMES[rows()[1][surest.row - 1000]]
    assert {"confident_learning", "margin"} <= set(surest.reasons)
    confidences = [one.confidence for one in found.suspects]
    assert confidences == sorted(confidences, reverse=True)


def test_confidences_are_probabilities() -> None:
    review, given = reviewed(0.3, epochs=3)
    found = review.review(60, 3)
    really = sum(given[one.row - 1000] != rows()[1][one.row - 1000] for one in found.suspects)
    promised = sum(one.confidence for one in found.suspects)
    assert really == pytest.approx(promised, rel=0.15)
    assert found.expected == pytest.approx(len(found.suspects) - promised, abs=0.1)


def test_right_targets_are_not_suspected() -> None:
    found = reviewed(0.0, epochs=2)[0].review(40, 2)
    assert found.estimate is not None
    assert found.estimate < 0.02
    assert len(found.suspects) <= 2 * found.expected + 3


def test_what_nobody_can_tell_is_not_estimated() -> None:
    given = np.random.default_rng(9).integers(0, 3, 480)
    review = RowReview(np.arange(480), given, NAMES, beforehand(given))
    learned(review, given, 1)
    found = review.review(20, 1)
    assert found.estimate is None
    assert found.suspects == []


def test_losses_alone_tell_of_two_classes() -> None:
    classes = rows()[1]
    generator = np.random.default_rng(0)
    right = (classes == 2).astype(int)
    wrong = generator.random(480) < 0.15
    given = np.where(wrong, 1 - right, right)
    review = RowReview(np.arange(480), given, ["no", "yes"])
    logits = 2.0 * (2 * right - 1) + generator.normal(0, 1, 480)
    review.note_losses(np.arange(480), np.log1p(np.exp(-(2 * given - 1) * logits)))
    found = review.review(20, 1)
    assert found.estimate == pytest.approx(wrong.mean(), abs=0.04)
    assert np.mean([wrong[one.row] for one in found.suspects]) > 0.7


def test_it_goes_on_from_a_checkpoint_as_if_nothing_had_been() -> None:
    given = with_wrong(0.2)
    straight = RowReview(np.arange(480), given, NAMES, beforehand(given))
    learned(straight, given, 2)
    resumed = RowReview(np.arange(480), given, NAMES, beforehand(given))
    learned(resumed, given, 1)
    packed = resumed.pack()
    again = RowReview(np.arange(480), given, NAMES, beforehand(given))
    again.unpack(packed)
    assert again.pack() == packed
    learned(resumed, given, 1, seed=5)
    learned(again, given, 1, seed=5)
    assert again.pack() == resumed.pack()
    assert again.review(40, 2).suspects == resumed.review(40, 2).suspects


def test_rows_without_a_class_and_broken_outputs_are_passed_over() -> None:
    given = with_wrong(0.2)
    given[:50] = -100
    review = RowReview(np.arange(480), given, NAMES, beforehand(given))
    learned_on = np.arange(50, 480)
    logits = 3 * np.eye(3)[rows()[1]]
    logits[60] = np.nan
    review.note(np.arange(480), logits)
    review.note(learned_on, logits[learned_on])
    found = review.review(20, 1)
    assert found.rows == 429
    assert all(one.row >= 50 for one in found.suspects)


def test_few_rows_are_not_judged() -> None:
    review = RowReview([1, 2], [0, 1], ["a", "b"])
    review.note(np.array([0, 1]), np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert review.review(1, 1).estimate is None


def test_rows_of_a_class_that_is_too_small_to_be_learned_are_not_suspected() -> None:
    given = rows()[1].copy()
    given[np.flatnonzero(given == 2)[12:]] = 1
    review = RowReview(np.arange(480), given, NAMES, beforehand(given))
    learned(review, given, 1)
    found = review.review(20, 1)
    assert found.rows == 468
    assert all(one.given != "high" for one in found.suspects)


def test_reviews_become_rarer() -> None:
    assert [epoch for epoch in range(20) if is_due(epoch)] == [1, 2, 4, 8, 16]


def test_what_is_said_beforehand_of_texts() -> None:
    texts = [f"a {'fine' if i % 2 else 'poor'} film, {i}" for i in range(80)]
    examples = [Example(i, f"a.csv:{i}", text, None, i % 2) for i, text in enumerate(texts)]
    for said in said_of_examples(examples, ["no", "yes"]):
        assert (said.argmax(axis=1) == np.arange(80) % 2).mean() > 0.95
    assert said_of_examples(examples[:10], ["no", "yes"]) == []

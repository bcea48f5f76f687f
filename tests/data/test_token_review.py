from __future__ import annotations

import numpy as np
import pytest

from tunewell.data.token_review import TokenReview, contradicted, groups
from tunewell.inspections import RowsReviewed

ROWS, WORDS, TOKENS = 600, 12, 5


def reviewed(wrong: np.ndarray, hard: np.ndarray, epochs: int = 3, knows: float = 1.0) -> RowsReviewed:
    """Return the review of rows of random words, as a calibrated model that learns takes them.

    It comes to give 0.95 of each row's probability to one word, except that of `hard` rows it knows nothing, and says
    so. That is the target's word, except in `wrong` rows.
    """
    generator = np.random.default_rng(0)
    targets = generator.integers(0, WORDS, (ROWS, TOKENS))
    counts = np.arange(TOKENS) < generator.integers(2, TOKENS + 1, ROWS)[:, None]
    review = TokenReview(np.arange(ROWS))
    for epoch in range(epochs):
        order = generator.permutation(ROWS)
        for place, rows in enumerate(np.split(order, ROWS // 20)):
            sure = knows * 0.95 * min(1.0, (epoch + place / (ROWS // 20)) / 1.5)
            sure = generator.uniform(0.8, 1.0, (20, 1)) * sure
            right = sure + (1 - sure) / WORDS
            probability = np.where(wrong[rows][:, None], (1 - sure) / WORDS, right)
            probability = np.where(hard[rows][:, None], 1 / WORDS, probability)
            losses = -np.log(probability) * np.ones((1, TOKENS))
            review.note_tokens(rows, losses * counts[rows], targets[rows], counts[rows])
    return review.review(90, epochs)


NONE = np.zeros(ROWS, dtype=np.bool_)


def some(share: float) -> np.ndarray:
    return np.random.default_rng(1).random(ROWS) < share


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.4])
def test_contradicted_rows_are_named(share: float) -> None:
    wrong = some(share)
    found = reviewed(wrong, NONE)
    named = {one.row for one in found.suspects}
    assert 2 * len(named & set(np.flatnonzero(wrong).tolist())) / (len(named) + wrong.sum()) > 0.95
    assert found.estimate == pytest.approx(wrong.mean(), abs=0.02)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_rows_that_nobody_can_tell_are_not_suspected(share: float) -> None:
    found = reviewed(NONE, some(share))
    assert found.suspects == []
    assert found.estimate == 0.0


def test_an_epoch_is_enough_where_the_model_knows_enough() -> None:
    assert (reviewed(some(0.3), NONE, epochs=1).estimate or 0.0) > 0.1


def test_a_model_that_knows_nothing_contradicts_nothing() -> None:
    assert reviewed(some(0.3), NONE, knows=0.1).estimate is None


def test_losses_that_are_not_finite_are_passed_over() -> None:
    review = TokenReview(np.arange(4))
    review.note_tokens(
        np.arange(4), np.full((4, 2), np.nan), np.ones((4, 2), dtype=int), np.ones((4, 2), dtype=bool)
    )
    assert review.review(1, 1).rows == 0


def test_what_a_model_itself_draws_is_no_evidence() -> None:
    """Targets drawn as an overly plain model says: e to the nats beyond guessing has a mean of 1."""
    generator = np.random.default_rng(0)
    model = np.array([0.7, 0.1, 0.1, 0.1])
    drawn = generator.choice(4, (2000, 6), p=model)
    nats = (np.log(0.25) - np.log(model[drawn])).sum(axis=1)
    assert contradicted(nats)[2] < 4


def test_one_group_has_no_valley() -> None:
    values = np.random.default_rng(0).normal(0, 1, 1000)
    assert groups(values, (values > 1).astype(float)) is None
    two = np.where(np.arange(1000) < 200, values + 8, values)
    found = groups(two, (two > 9).astype(float))
    assert found is not None
    assert found[:200].min() > 0.9
    assert found[200:].max() < 0.1

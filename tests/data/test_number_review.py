from __future__ import annotations

import numpy as np
import pytest

from tunewell.data.beforehand import numbers_said_of_arrays
from tunewell.data.number_review import NumberReview, judged

GENERATOR = np.random.default_rng(0)
INPUTS = GENERATOR.normal(0, 1, (600, 5)).astype(np.float32)
RIGHT = INPUTS @ np.array([1.0, -2.0, 0.5, 0.0, 1.5]) + GENERATOR.normal(0, 0.4, 600)


def with_wrong(share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return targets of which a share belongs to other rows, and which these are."""
    wrong = np.flatnonzero(np.random.default_rng(1).random(600) < share)
    targets = RIGHT.copy()
    targets[wrong] = np.roll(targets[wrong], 1)
    return targets, wrong


def reviewed(targets: np.ndarray) -> NumberReview:
    review = NumberReview(np.arange(600), targets, lambda: numbers_said_of_arrays(INPUTS, targets))
    told = INPUTS @ np.array([1.0, -2.0, 0.5, 0.0, 1.5])
    for known in (0.3, 0.9, 1.0):
        review.note_losses(np.arange(600), (targets - known * told) ** 2)
    return review


def test_targets_of_other_rows_are_named() -> None:
    targets, wrong = with_wrong(0.2)
    found = reviewed(targets).review(60, 3)
    named = {one.row for one in found.suspects}
    assert 2 * len(named & set(wrong.tolist())) / (len(named) + len(wrong)) > 0.7
    assert found.estimate == pytest.approx(len(wrong) / 600, abs=0.07)
    assert float(found.suspects[0].given) == pytest.approx(targets[found.suspects[0].row], rel=1e-3)


def test_right_targets_are_not_suspected() -> None:
    found = reviewed(RIGHT).review(60, 3)
    assert found.suspects == []
    assert found.estimate == 0.0


@pytest.mark.parametrize("freedom", [1.5, 3.0])
def test_rare_large_errors_are_not_wrong_targets(freedom: float) -> None:
    targets = RIGHT + np.random.default_rng(2).standard_t(freedom, 600)
    assert judged(targets, RIGHT)[1] < 0


def test_targets_that_nobody_can_tell_are_not_judged() -> None:
    found = reviewed(np.random.default_rng(3).normal(0, 1, 600)).review(60, 3)
    assert found.estimate is None


def test_it_goes_on_from_a_checkpoint() -> None:
    review = reviewed(with_wrong(0.2)[0])
    again = NumberReview(np.arange(600), with_wrong(0.2)[0], lambda: None)
    again.unpack(review.pack())
    assert again.pack() == review.pack()
    assert again.review(60, 3).suspects == []

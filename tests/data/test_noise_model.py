from __future__ import annotations

import numpy as np
import pytest

from tunewell.data.noise_model import fit_noise


def drawn(
    sharpness: float, transition: np.ndarray, rows: int = 2000, said: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log-probabilities (right but for a factor `said` of confidence), right classes, given classes."""
    generator = np.random.default_rng(0)
    classes = len(transition)
    logits = sharpness * generator.normal(0, 1, (rows, classes))
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = np.array([generator.choice(classes, p=p) for p in likely])
    given = np.array([generator.choice(classes, p=transition[k]) for k in right])
    return said * (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))), right, given


def common(classes: int, rate: float) -> np.ndarray:
    return np.full((classes, classes), rate / (classes - 1)) + np.eye(classes) * (
        1 - rate - rate / (classes - 1)
    )


@pytest.mark.parametrize("rate", [0.1, 0.3])
@pytest.mark.parametrize("said", [0.3, 1.0, 3.0])
def test_the_rate_is_found_however_sure_the_model_says_it_is(rate: float, said: float) -> None:
    source, right, given = drawn(4.0, common(4, rate), said=said)
    model = fit_noise([source], given)
    wrong = 1 - model.right([source], given)[np.arange(len(given)), given]
    assert wrong.mean() == pytest.approx((right != given).mean(), abs=0.03)
    assert model.evidence > 30
    assert model.weights[0] == pytest.approx(1 / said, rel=0.2)


@pytest.mark.parametrize("sharpness", [0.7, 1.5, 4.0])
def test_hard_rows_are_not_wrong(sharpness: float) -> None:
    source, _, given = drawn(sharpness, np.eye(4))
    assert fit_noise([source], given).evidence < 6


def test_one_class_mistaken_for_one_other() -> None:
    transition = np.eye(4)
    transition[1] = [0, 0.6, 0.4, 0]
    source, right, given = drawn(4.0, transition)
    model = fit_noise([source], given)
    assert model.transition[1, 2] == pytest.approx(0.4, abs=0.06)
    told = model.right([source], given)
    assert (told.argmax(axis=1) == right)[(given == 2) & (right == 1)].mean() > 0.7


def test_a_source_that_knows_nothing_counts_little() -> None:
    source, _, given = drawn(3.0, common(3, 0.2))
    blind = np.log(np.random.default_rng(5).dirichlet(np.ones(3), len(given)))
    assert np.argmax(fit_noise([blind, source], given).weights) == 1
    assert fit_noise([blind, source], given).weights[0] < 0.2

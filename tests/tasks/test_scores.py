"""Scores against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tunewell.tasks._scores import score, score_by_class, softmax


def logits(classes: list[int], width: int) -> np.ndarray:
    return np.eye(width, dtype=np.float32)[classes] * 3 - 1


def test_single_label() -> None:
    # 4 rows of a: 3 found; 2 of b: 1 found, 1 taken for a; no row of c, but one of a is taken for it.
    targets = np.array([0, 0, 0, 0, 1, 1])
    scores = score("single_label", logits([0, 0, 0, 2, 1, 0], 3), targets)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    f1_a, f1_b = 2 * 3 / (4 + 4), 2 * 1 / (2 + 1)
    assert scores["macro_f1"] == pytest.approx((f1_a + f1_b + 0) / 3)
    # MCC of several classes (Gorodkin 2004): (c·s - Σ p·t) / sqrt((s² - Σ p²)(s² - Σ t²)), p and t rows by class
    assert scores["mcc"] == pytest.approx((4 * 6 - (4 * 4 + 1 * 2)) / math.sqrt((36 - 18) * (36 - 20)))


def test_two_classes_mcc() -> None:
    targets = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    scores = score("single_label", logits([1, 1, 0, 0, 0, 0, 1, 0], 2), targets)
    tp, tn, fp, fn = 2, 4, 1, 1
    assert scores["mcc"] == pytest.approx(
        (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    )


def test_several_labels() -> None:
    outputs = np.array([[2, -1], [-1, 3], [1, 1], [-2, -2]], dtype=np.float32)
    targets = np.array([[1, 0], [1, 1], [1, 1], [0, 0]], dtype=np.float32)
    scores = score("multi_label", outputs, targets)
    assert scores["accuracy"] == pytest.approx(3 / 4)
    assert scores["macro_f1"] == pytest.approx((2 * 2 / (2 + 3) + 1) / 2)
    assert scores["micro_f1"] == pytest.approx(2 * 4 / (4 + 5))


def test_regression() -> None:
    targets = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)
    scores = score("regression", np.array([[1.0], [2.0], [3.0], [8.0]], dtype=np.float32), targets)
    assert scores["mse"] == pytest.approx(4.0)
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["pearson"] == pytest.approx(11 / math.sqrt(5 * 29))


@pytest.mark.parametrize("outputs", [[[2.0], [2.0]], [[math.nan], [1.0]]])
def test_an_undefined_correlation_is_not_a_number(outputs: list[list[float]]) -> None:
    scores = score("regression", np.array(outputs, dtype=np.float32), np.array([1.0, 2.0]))
    assert math.isnan(scores["pearson"])
    assert math.isnan(scores["spearman"])


def test_scores_of_a_model_that_says_one_class_only() -> None:
    scores = score("single_label", logits([0, 0, 0], 2), np.array([0, 1, 0]))
    assert (scores["accuracy"], scores["mcc"]) == (pytest.approx(2 / 3), 0.0)


def test_by_class() -> None:
    found = score_by_class("single_label", ["a", "b", "c"], logits([0, 0, 1], 3), np.array([0, 1, 1]))
    assert found["a"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "rows": 1}
    assert found["b"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "rows": 2}
    assert found["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "rows": 0}
    outputs, targets = np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[1, 0], [0, 1]])
    assert score_by_class("multi_label", ["a", "b"], outputs, targets)["a"]["precision"] == 0.5
    assert score_by_class("regression", [], outputs, targets) == {}


def test_softmax_of_large_numbers() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0], [-1e4, 0.0]])), [[0.5, 0.5], [0.0, 1.0]])

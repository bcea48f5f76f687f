"""Scores against values computed by hand, and bit for bit against scikit-learn on whole arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from tunewell.tasks._protocol import Scorer
from tunewell.tasks._scores import METRICS, scorer, softmax


def scored(problem: str, outputs: np.ndarray, targets: np.ndarray, labels: list[str] | None = None) -> Scorer:
    """Return a scorer that got `outputs` from the last row to the first, in batches of three."""
    names = labels or [f"class {i}" for i in range(outputs.shape[1])]
    found = scorer(problem, names, targets)
    indexes = np.arange(len(outputs))[::-1]
    for start in range(0, len(indexes), 3):
        rows = indexes[start : start + 3]
        found.add(rows, outputs[rows])
    return found


def score(problem: str, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    return scored(problem, outputs, targets).metrics()


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


@pytest.mark.parametrize("classes", [2, 7])
def test_single_label_is_scikit_learns_to_the_last_bit(classes: int) -> None:
    rng = np.random.default_rng(classes)
    targets = rng.integers(0, classes, 200)
    outputs = rng.normal(size=(200, classes)).astype(np.float32)
    outputs[np.arange(200), targets] += 1
    outputs[:, -1] -= 9  # never predicted
    found, chosen = scored("single_label", outputs, targets), outputs.argmax(axis=1)
    assert found.metrics() == {
        "accuracy": metrics.accuracy_score(targets, chosen),
        "macro_f1": metrics.f1_score(targets, chosen, average="macro", zero_division=0.0),
        "mcc": metrics.matthews_corrcoef(targets, chosen),
    }
    whole = metrics.precision_recall_fscore_support(targets, chosen, zero_division=0.0)
    assert [tuple(of_class.values()) for of_class in found.by_class().values()] == list(
        zip(*whole, strict=True)
    )
    assert np.array_equal(found.predicted, chosen)
    np.testing.assert_allclose(found.confidence, softmax(outputs).max(axis=1), rtol=1e-6)


def test_several_labels_are_scikit_learns_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 6)) > 0.6).astype(np.float32)
    outputs = (rng.normal(size=(200, 6)) + targets).astype(np.float32)
    targets[:, 4], outputs[:, 5] = 0, -1  # one class never true, one never predicted
    found, truth, chosen = scored("multi_label", outputs, targets), targets > 0.5, outputs > 0
    assert found.metrics() == {
        "accuracy": metrics.accuracy_score(truth, chosen),
        "macro_f1": metrics.f1_score(truth, chosen, average="macro", zero_division=0.0),
        "micro_f1": metrics.f1_score(truth, chosen, average="micro", zero_division=0.0),
    }
    whole = metrics.precision_recall_fscore_support(truth, chosen, zero_division=0.0)
    assert [tuple(of_class.values()) for of_class in found.by_class().values()] == list(
        zip(*whole, strict=True)
    )


@pytest.mark.parametrize("outputs", [[[2.0], [2.0]], [[math.nan], [1.0]]])
def test_an_undefined_correlation_is_not_a_number(outputs: list[list[float]]) -> None:
    scores = score("regression", np.array(outputs, dtype=np.float32), np.array([1.0, 2.0]))
    assert math.isnan(scores["pearson"])
    assert math.isnan(scores["spearman"])


def test_scores_of_a_model_that_says_one_class_only() -> None:
    scores = score("single_label", logits([0, 0, 0], 2), np.array([0, 1, 0]))
    assert (scores["accuracy"], scores["mcc"]) == (pytest.approx(2 / 3), 0.0)


def test_logits_that_are_not_finite_are_scored_without_a_warning() -> None:
    outputs = np.array([[np.inf, 0.0], [np.nan, np.nan], [0.0, 1.0]], dtype=np.float32)
    found = scored("single_label", outputs, np.array([0, 1, 1]))
    assert found.metrics()["accuracy"] == pytest.approx(2 / 3)


def test_by_class() -> None:
    found = scored("single_label", logits([0, 0, 1], 3), np.array([0, 1, 1]), ["a", "b", "c"]).by_class()
    assert found["a"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "rows": 1}
    assert found["b"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "rows": 2}
    assert found["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "rows": 0}
    outputs, targets = np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[1, 0], [0, 1]])
    assert scored("multi_label", outputs, targets, ["a", "b"]).by_class()["a"]["precision"] == 0.5
    assert scored("regression", outputs, np.array([1.0, 2.0])).by_class() == {}


@pytest.mark.parametrize("problem", sorted(METRICS))
def test_the_metrics_are_those_announced(problem: str) -> None:
    targets = np.array([[0, 1], [1, 0]]) if problem == "multi_label" else np.array([0, 1])
    assert tuple(score(problem, logits([1, 0], 2), targets)) == METRICS[problem]


def test_softmax_of_large_numbers() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0], [-1e4, 0.0]])), [[0.5, 0.5], [0.0, 1.0]])

"""Scores of classification and regression, from logits that come in batches and are not kept.

What is kept of a row is what its scores need: the predicted class and its probability, or the predicted number; of
several-labels problems only counts by class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import expit as sigmoid
from scipy.special import softmax as _softmax

from tunewell.tasks._protocol import Scorer

__all__ = ["MAIN_METRIC", "METRICS", "scorer", "sigmoid", "softmax"]

METRICS = {
    "single_label": ("accuracy", "macro_f1", "mcc"),
    "multi_label": ("accuracy", "macro_f1", "micro_f1"),
    "regression": ("pearson", "spearman", "mse"),
}
MAIN_METRIC = {"single_label": "accuracy", "multi_label": "macro_f1", "regression": "pearson"}


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Return (rows, classes) probabilities."""
    return np.asarray(_softmax(outputs.astype(np.float64), axis=-1))


def scorer(problem: str, labels: Sequence[str], targets: np.ndarray) -> Scorer:
    """Return a scorer of rows with these `targets`, (rows,) or (rows, classes); `labels` name the classes."""
    if problem == "regression":
        return _Regression(targets)
    return _SeveralLabels(labels, targets) if problem == "multi_label" else _SingleLabel(labels, targets)


class _SingleLabel:
    def __init__(self, labels: Sequence[str], targets: np.ndarray) -> None:
        self.labels, self.targets = labels, np.asarray(targets)
        self.predicted = np.zeros(len(targets), dtype=np.int64)
        self.confidence = np.zeros(len(targets), dtype=np.float32)

    def add(self, indexes: np.ndarray, outputs: np.ndarray) -> None:
        chosen = outputs.argmax(axis=1)
        self.predicted[indexes] = chosen
        with np.errstate(invalid="ignore"):  # logits that are not finite have no probability
            self.confidence[indexes] = softmax(outputs)[np.arange(len(outputs)), chosen]

    def metrics(self) -> dict[str, float]:
        counts = self._counts()
        return {
            "accuracy": float((self.predicted == self.targets).mean()),
            "macro_f1": float(counts.f1().mean()),
            "mcc": counts.correlation(),
        }

    def by_class(self) -> dict[str, dict[str, float]]:
        return self._counts().by_class(self.labels)

    def _counts(self) -> _Counts:
        found = _Counts(len(self.labels))
        found.hits += np.bincount(self.targets[self.targets == self.predicted], minlength=len(self.labels))
        found.predicted += np.bincount(self.predicted, minlength=len(self.labels))
        found.actual += np.bincount(self.targets, minlength=len(self.labels))
        return found


class _SeveralLabels:
    predicted = confidence = None

    def __init__(self, labels: Sequence[str], targets: np.ndarray) -> None:
        self.labels, self.targets = labels, targets
        self.counts = _Counts(len(labels))
        self.exact = 0

    def add(self, indexes: np.ndarray, outputs: np.ndarray) -> None:
        chosen, truth = outputs > 0, self.targets[indexes] > 0.5
        self.exact += int((chosen == truth).all(axis=1).sum())
        self.counts.hits += (chosen & truth).sum(axis=0)
        self.counts.predicted += chosen.sum(axis=0)
        self.counts.actual += truth.sum(axis=0)

    def metrics(self) -> dict[str, float]:
        return {
            "accuracy": self.exact / len(self.targets),
            "macro_f1": float(self.counts.f1().mean()),
            "micro_f1": float(self.counts.over_all().f1()[0]),
        }

    def by_class(self) -> dict[str, dict[str, float]]:
        return self.counts.by_class(self.labels)


class _Regression:
    confidence = None

    def __init__(self, targets: np.ndarray) -> None:
        self.targets = np.asarray(targets)
        self.predicted = np.zeros(len(targets), dtype=np.float32)

    def add(self, indexes: np.ndarray, outputs: np.ndarray) -> None:
        self.predicted[indexes] = outputs[:, 0]

    def metrics(self) -> dict[str, float]:
        return _correlations(self.predicted.astype(np.float64), self.targets.astype(np.float64))

    def by_class(self) -> dict[str, dict[str, float]]:
        return {}


class _Counts:
    """Rows by class, (classes,) each: predicted and true, predicted, true."""

    def __init__(self, classes: int) -> None:
        self.hits, self.predicted, self.actual = np.zeros((3, classes), dtype=np.int64)

    def f1(self) -> np.ndarray:
        return _shares(2 * self.hits, self.predicted + self.actual)

    def correlation(self) -> float:
        """Return Matthews' correlation of rows with one class each (Gorodkin 2004); 0 where it is undefined."""
        rows = float(self.actual.sum())
        covariance = float(self.hits.sum()) * rows - float(self.actual @ self.predicted)
        of_predicted = rows**2 - float(self.predicted @ self.predicted)
        of_actual = rows**2 - float(self.actual @ self.actual)
        return covariance / math.sqrt(of_actual * of_predicted) if of_actual * of_predicted else 0.0

    def over_all(self) -> _Counts:
        found = _Counts(1)
        for name, counts in vars(self).items():
            getattr(found, name)[0] = counts.sum()
        return found

    def by_class(self, labels: Sequence[str]) -> dict[str, dict[str, float]]:
        precision, recall = _shares(self.hits, self.predicted), _shares(self.hits, self.actual)
        return {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
            for name, p, r, f, n in zip(labels, precision, recall, self.f1(), self.actual, strict=True)
        }


def _shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Return parts / wholes, 0 of nothing."""
    return np.asarray(np.where(wholes == 0, 0.0, parts / np.maximum(wholes, 1)))


def _correlations(predicted: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return the correlations and the mean squared error; not a number where one is undefined."""
    undefined = (
        len(targets) < 2 or np.ptp(predicted) == 0 or np.ptp(targets) == 0 or not np.isfinite(predicted).all()
    )
    error = {"mse": float(np.square(predicted - targets).mean())}
    if undefined:
        return {"pearson": float("nan"), "spearman": float("nan"), **error}
    return {
        "pearson": float(stats.pearsonr(predicted, targets).statistic),
        "spearman": float(stats.spearmanr(predicted, targets).statistic),
        **error,
    }

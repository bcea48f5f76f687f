"""Scores of classification and regression, from (rows, classes) logits and targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import expit as sigmoid
from scipy.special import softmax as _softmax
from sklearn import metrics

__all__ = ["MAIN_METRIC", "METRICS", "score", "score_by_class", "sigmoid", "softmax"]

METRICS = {
    "single_label": ("accuracy", "macro_f1", "mcc"),
    "multi_label": ("accuracy", "macro_f1", "micro_f1"),
    "regression": ("pearson", "spearman", "mse"),
}
MAIN_METRIC = {"single_label": "accuracy", "multi_label": "macro_f1", "regression": "pearson"}


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Return (rows, classes) probabilities."""
    return np.asarray(_softmax(outputs.astype(np.float64), axis=-1))


def score(problem: str, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return the metrics of one evaluation; not a number where one is undefined (such as constant predictions)."""
    if problem == "regression":
        return _correlations(outputs[:, 0].astype(np.float64), targets.astype(np.float64))
    if problem == "multi_label":
        chosen = outputs > 0
        truth = targets > 0.5
        return {
            "accuracy": float((chosen == truth).all(axis=1).mean()),
            "macro_f1": float(metrics.f1_score(truth, chosen, average="macro", zero_division=0.0)),
            "micro_f1": float(metrics.f1_score(truth, chosen, average="micro", zero_division=0.0)),
        }
    chosen = outputs.argmax(axis=1)
    classes = np.arange(outputs.shape[1])
    is_one = len(np.union1d(targets, chosen)) == 1  # scikit-learn warns of it, and says 0
    return {
        "accuracy": float((chosen == targets).mean()),
        "macro_f1": float(
            metrics.f1_score(targets, chosen, labels=classes, average="macro", zero_division=0.0)
        ),
        "mcc": 0.0 if is_one else float(metrics.matthews_corrcoef(targets, chosen)),
    }


def score_by_class(
    problem: str, labels: Sequence[str], outputs: np.ndarray, targets: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and number of rows by class name."""
    if problem == "regression":
        return {}
    if problem == "multi_label":
        truth, chosen = targets > 0.5, outputs > 0
    else:
        classes = np.arange(len(labels))
        truth, chosen = targets[:, None] == classes, outputs.argmax(axis=1)[:, None] == classes
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(truth, chosen, zero_division=0.0)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for name, p, r, f, n in zip(labels, precision, recall, f1, rows, strict=True)
    }


def _correlations(predicted: np.ndarray, targets: np.ndarray) -> dict[str, float]:
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

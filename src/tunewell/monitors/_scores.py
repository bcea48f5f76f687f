"""A validation score: which number it is, which way is better, and how far chance alone moves it."""

from __future__ import annotations

import math

from tunewell.monitors._statistics import is_usable
from tunewell.records import Eval

_FALLING = ("loss", "error", "perplexity", "mae", "mse", "rmse", "wer", "cer")


def is_falling(metric: str) -> bool:
    """Return whether less of `metric` is better."""
    return metric.lower().split("_")[-1] in _FALLING


def chosen(record: Eval, metric: str) -> str:
    """Return `metric`, or where it is empty the first one that `record` gives, else ``loss``."""
    return metric or next(iter(record.metrics), "loss")


def value(record: Eval, metric: str) -> float | None:
    """Return `metric` of this evaluation, or None if it is absent or not finite."""
    found = record.loss if metric in {"loss", "eval_loss"} else record.metrics.get(metric)
    return found if found is not None and is_usable(found) else None


def gain(new: float, old: float, metric: str) -> float:
    """Return by how much `new` is better than `old`; negative: worse."""
    return old - new if is_falling(metric) else new - old


def noise(score: float, rows: int, metric: str) -> float:
    """Return the standard error of a score that is a share of rows; 0 for a loss, whose noise is not known."""
    if is_falling(metric) or not 0 <= score <= 1 or rows < 1:
        return 0.0
    return math.sqrt(score * (1 - score) / rows)

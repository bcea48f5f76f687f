"""What a judge remembers of a run's last updates: what actions are chosen by, and what their effect is measured with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from tunewell.inspections import Inspected
from tunewell.monitors import _scores
from tunewell.records import Eval, Record, Step

T = TypeVar("T")

KEPT = 128
"""Updates remembered: as far back as an onset is usually found, and enough to compare with."""
SAMPLES = 8
"""Updates remembered at which the layers were measured."""
EVALUATIONS = 16


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the last updates, each with its step; in the order in which they were measured, rewound ones too."""

    losses: list[tuple[int, float]] = []
    """Of updates that were made, with a finite loss."""
    rates: list[tuple[int, float]] = []
    norms: list[tuple[int, float]] = []
    layer_norms: list[tuple[int, dict[str, float]]] = []
    bad: list[tuple[int, bool]] = []
    """Whether the update's loss or gradient was not finite."""
    scores: list[tuple[int, float, float]] = []
    """Of the validation split: step, score and its standard error (0: not known)."""
    metric: str = ""
    """Name of that score."""
    looks: dict[str, float] = {}
    """The newest numbers from inside the training, by the names in `LOOKS`."""


LOOKS = {
    "gradients_not_cleared": "stale gradient norm",
    "training_in_evaluation_mode": "modules in evaluation mode in training",
    "evaluation_in_training_mode": "modules in training mode in evaluation",
    "parameters_not_updating": "parameters outside the optimizer",
    "frozen_head": "frozen outputs",
    "epsilon_too_large": "share of updates that ε holds back",
    "double_softmax": "losses that take probabilities for logits",
    "dead_units": "largest share of silent units in a layer",
    "saturation": "largest share of saturated outputs in a layer",
    "gradient_underflow": "largest share of zeros in a layer's gradient",
    "vanishing_gradient": "smallest relative update of a layer",
}
"""By code, the number from inside that the fault shows in."""


def follow(curves: Curves, record: Record) -> Curves:
    """Return `curves` after `record`."""
    changes: dict[str, Any] = {}
    match record:
        case Step():
            changes = _after_step(curves, record)
        case Eval() if record.split == "validation":
            changes = _after_evaluation(curves, record)
        case Inspected():
            pass
        case _:
            return curves
    if looks := looks_in(record):
        changes["looks"] = curves.looks | looks
    return msgspec.structs.replace(curves, **changes)


def looks_in(record: Record) -> dict[str, float]:
    """Return what `record` tells from inside the training, by the names in `LOOKS`."""
    match record:
        case Step() if record.layer_updates:
            moves = [move for move in record.layer_updates.values() if math.isfinite(move)]
            return {LOOKS["vanishing_gradient"]: min(moves)} if moves else {}
        case Eval() if record.in_training is not None:
            return {LOOKS["evaluation_in_training_mode"]: float(len(record.in_training))}
        case Inspected():
            return _inside(record)
    return {}


def facts_of(curves: Curves) -> dict[str, Any]:
    """Return what of it a policy's `Facts` hold."""
    return {
        "rates": tuple(curves.rates),
        "norms": tuple(curves.norms),
        "layer_norms": tuple(curves.layer_norms),
    }


def _after_step(curves: Curves, step: Step) -> dict[str, Any]:
    is_finite = math.isfinite(step.loss) and math.isfinite(step.gradient_norm)
    changes: dict[str, Any] = {
        "bad": _pushed(curves.bad, (step.step, not is_finite), KEPT),
        "rates": _pushed(curves.rates, (step.step, step.learning_rate), KEPT),
    }
    if is_finite and not step.skipped:
        changes["losses"] = _pushed(curves.losses, (step.step, step.loss), KEPT)
        changes["norms"] = _pushed(curves.norms, (step.step, step.gradient_norm), KEPT)
    if step.layer_gradients and is_finite:
        finite = {name: norm for name, norm in step.layer_gradients.items() if math.isfinite(norm)}
        changes["layer_norms"] = _pushed(curves.layer_norms, (step.step, finite), SAMPLES)
    return changes


def _after_evaluation(curves: Curves, record: Eval) -> dict[str, Any]:
    metric = curves.metric or next(iter(record.metrics), "loss")
    score = record.loss if metric == "loss" else record.metrics.get(metric, math.nan)
    if not math.isfinite(score):
        return {}
    error = _scores.noise(score, record.rows, metric)
    return {"metric": metric, "scores": _pushed(curves.scores, (record.step, score, error), EVALUATIONS)}


def _inside(record: Inspected) -> dict[str, float]:
    found = {
        "gradients_not_cleared": record.stale_gradient,
        "training_in_evaluation_mode": _count(record.in_evaluation),
        "parameters_not_updating": _count(record.not_optimized),
        "frozen_head": _truth(record.output_frozen),
        "epsilon_too_large": record.epsilon_share,
        "double_softmax": _truth(record.outputs_are_probabilities),
        "dead_units": _largest(record.silent_units),
        "saturation": _largest(record.saturated_units),
        "gradient_underflow": _largest(record.zero_gradients),
    }
    return {LOOKS[code]: v for code, v in found.items() if v is not None and math.isfinite(v)}


def _count(names: list[str] | None) -> float | None:
    return None if names is None else float(len(names))


def _truth(value: bool | None) -> float | None:
    return None if value is None else float(value)


def _largest(shares: dict[str, float] | None) -> float | None:
    return (
        None if shares is None else max((one for one in shares.values() if not math.isnan(one)), default=0.0)
    )


def _pushed(window: Sequence[T], value: T, size: int) -> list[T]:
    return [*window[max(0, len(window) - size + 1) :], value]

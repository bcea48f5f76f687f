"""Actions and times in words: what is to be done, what was done, how long it took."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunewell.actions import (
    Action,
    BalanceClasses,
    ClearGradients,
    ClipLayers,
    DivideGradients,
    EvaluateNow,
    ExcludeRows,
    Freeze,
    IncludeRows,
    NextStage,
    NormalizeInputs,
    Optimize,
    Pause,
    Reinitialize,
    Resume,
    Rewarm,
    Rollback,
    SaveNow,
    ScaleLearningRate,
    ScaleLoss,
    SetEpsilon,
    SetLearningRate,
    SetMaxGradNorm,
    SetMicroBatchTokens,
    SetMode,
    ShuffleRows,
    Stop,
    StretchSchedule,
    TakeLogarithm,
    Unfreeze,
)

_PAST = {
    "multiply": "multiplied", "set": "set", "clip": "clipped", "stop": "stopped", "end": "ended", "roll": "rolled",
    "exclude": "excluded", "train": "trained", "send": "sent", "let": "let", "freeze": "froze", "unfreeze": "unfroze",
    "begin": "began", "give": "gave", "scale": "scaled", "clear": "cleared", "divide": "divided", "put": "put",
    "hold": "held", "take": "took", "normalise": "normalised", "draw": "drew", "weigh": "weighed",
    "evaluate": "evaluated", "save": "saved", "pause": "paused", "resume": "resumed",
}  # fmt: skip
"""The verb that each sentence of `intended` begins with, in the past tense."""

_PLAIN: dict[type[Action], str] = {
    EvaluateNow: "evaluate",
    SaveNow: "save a checkpoint",
    Pause: "pause training",
    Resume: "resume training",
    ShuffleRows: "draw rows in random order",
    BalanceClasses: "weigh rows so that each class counts alike",
    NextStage: "begin the next stage",
}


def describe(action: Action) -> str:
    """Return what `action` did, in the past tense: ``rolled back to the last healthy checkpoint before step 310``."""
    first, _, rest = intended(action).partition(" ")
    also = rest.replace(" and multiply ", " and multiplied ")
    return f"{_PAST[first]} {also}".strip()


def intended(action: Action) -> str:
    """Return what `action` does: ``roll back to the last healthy checkpoint before step 310``."""
    match action:
        case Rollback(learning_rate_factor=factor, keeps_best=keeps_best, weight_decay=decay):
            to = _aim(action)
            also = "" if factor == 1 else f" and multiply the learning rate by {factor:.4g}"
            also += f", with a weight decay of {decay:.2g}" if decay else ""
            return f"roll back to {to}{also}{', keeping the best weights for the end' if keeps_best else ''}"
        case ExcludeRows(rows=rows):
            return f"exclude {_counted(rows, 'row')} from training"
        case IncludeRows(rows=rows):
            return f"train on {_counted(rows, 'row')} again"
        case SetMicroBatchTokens(value=value):
            return f"send at most {value:,} tokens through the model at once"
        case Stop(success=success):
            return "end training" if success else "give the run up"
        case _:
            return _PLAIN.get(type(action)) or _of_rate(action) or _of_gradients(action) or _of_model(action)


def _aim(action: Rollback) -> str:
    if action.commit is not None:
        return f"checkpoint {action.commit}"
    return "the start" if action.before <= 1 else f"the last healthy checkpoint before step {action.before:,}"


def duration(seconds: float) -> str:
    """Return `seconds` as people say it: ``48 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"


def _of_rate(action: Action) -> str:
    match action:
        case ScaleLearningRate(factor=factor):
            return f"multiply the learning rate by {factor:.4g}"
        case SetLearningRate(value=value):
            return f"set the learning rate to {value:.4g}"
        case Rewarm(steps=0):
            return "stop warming up"
        case Rewarm(steps=steps):
            return f"let the learning rate rise anew over {steps:,} updates"
        case StretchSchedule(factor=factor):
            return f"let the schedule run {factor:.4g} times slower"
    return ""


def _of_gradients(action: Action) -> str:
    match action:
        case SetMaxGradNorm(value=value):
            if math.isinf(value):
                return "clip gradients no more"
            return f"clip gradients at norm {value:.4g} from then on"
        case ClipLayers(bounds=bounds):
            if not bounds:
                return "clip layers no more"
            return f"clip the gradients of {_counted(list(bounds), 'layer')}, each at its own norm"
        case SetEpsilon(value=value):
            return f"set the optimizer's ε to {value:.4g}"
        case ScaleLoss(factor=factor, layers=layers):
            if layers:
                return f"multiply the gradients of {_listed(layers)} by {factor:.4g}"
            return f"scale the loss by {factor:.4g} for the backward pass"
        case ClearGradients():
            return "clear gradients after each update"
        case DivideGradients(divisor=divisor):
            by = f"{divisor:g}" if divisor else "the number of backward passes"
            return f"divide gradients by {by}"
        case Optimize(parameters=names):
            return f"put {_listed(names)} into the optimizer"
    return ""


def _of_model(action: Action) -> str:
    match action:
        case Freeze(layers=layers):
            return f"freeze {_listed(layers)}"
        case Unfreeze(layers=layers):
            return f"unfreeze {_listed(layers)}"
        case Reinitialize(layers=layers):
            return f"draw new weights for {_listed(layers)}"
        case SetMode():
            return "hold the model in training mode in training, and in evaluation mode in evaluation"
        case TakeLogarithm():
            return "take the logarithm of outputs that are probabilities already"
        case NormalizeInputs(mean=mean, std=std):
            return f"normalise inputs by mean {mean:.4g} and standard deviation {std:.4g}"
    raise AssertionError(action)


def _counted(items: Sequence[object], noun: str) -> str:
    return f"{len(items):,} {noun}{'' if len(items) == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

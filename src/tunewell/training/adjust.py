"""What actions change of a run: each function changes one thing, reads it back, and says in words what it was and is.

All but weights go into `Adjustments`, so that a resume keeps them and a rollback does not undo them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewell.training.loop import Work
from tunewell.training.plan import Plan, StagePlan
from tunewell.training.redraw import redraw
from tunewell.training.state import TrainState

CLOSE = 1e-6
"""Relative difference up to which a number read back is the one that was set."""
_COURSES = {
    "linear": "the linear schedule",
    "cosine": "the cosine",
    "polynomial": "the polynomial schedule",
    "inverse_sqrt": "the inverse square root",
    "warmup_stable_decay": "the schedule (warm-up, stable, decay)",
    "plateau": "the schedule (lower on a plateau)",
}
"""What the rate follows, in words."""


class RefusedError(Exception):
    """An action that can't be carried out, and why."""


def is_factor(factor: float) -> bool:
    """Whether a rate can be multiplied by `factor`."""
    return 0 < factor < 1e6


def rate(state: TrainState, stage: StagePlan) -> float:
    """Put the coming update's rate into the optimizer, as the loop does, and return the largest that is in it."""
    return state.optimizers.set_rate(state.rate_factor(stage))


def present_rate(state: TrainState, stage: StagePlan) -> float:
    """Return the rate of the coming update; refuses one of 0, which no factor can change."""
    now = rate(state, stage)
    if now <= 0:
        raise RefusedError("the schedule's rate is 0 now: no factor can make it another")
    return now


def scale_rate(state: TrainState, stage: StagePlan, factor: float) -> str:
    """Multiply the rate by `factor`, from now on."""
    if not is_factor(factor):
        raise RefusedError(f"a learning rate can't be multiplied by {factor}")
    old = rate(state, stage)
    state.adjustments.rate_factor *= factor
    new = rate(state, stage)
    if abs(new - old * factor) > CLOSE * old * factor:
        raise RefusedError(f"the optimizer's rate is {new:.3g} where it should be {old * factor:.3g}")
    course = (
        "and stays there"
        if stage.scheduler == "constant"
        else f"{_COURSES[stage.scheduler]} goes on from there in proportion"
    )
    return f"learning rate {old:.3g} → {new:.3g}; {course}"


def rewarm(state: TrainState, stage: StagePlan, steps: int) -> str:
    """Let the rate rise from a tenth over `steps` updates; 0 ends a rise that is under way."""
    if steps < 0:
        raise RefusedError(f"a rate can't rise over {steps} updates")
    state.adjustments.rewarm_from, state.adjustments.rewarm_steps = state.adjustments.cursor, steps
    return f"learning rate {rate(state, stage):.3g} at the coming update, all of it after {steps} updates"


def stretch(state: TrainState, stage: StagePlan, factor: float) -> str:
    """Let the schedule run `factor` times slower."""
    if not 0.01 <= factor <= 100:
        raise RefusedError(f"a schedule can't be stretched {factor:g} times")
    old = rate(state, stage)
    state.adjustments.stretch *= factor
    return f"learning rate {old:.3g} → {rate(state, stage):.3g}: the schedule runs {factor:g} times slower"


def clip_layers(state: TrainState, bounds: dict[str, float]) -> str:
    """Clip each named layer's gradient at its bound, in place of the bounds before."""
    _layers(state, [*bounds])
    if any(not bound > 0 for bound in bounds.values()):
        raise RefusedError("a bound must be above 0")
    state.adjustments.layer_bounds = dict(bounds)
    told = ", ".join(f"{layer} {bound:.3g}" for layer, bound in bounds.items())
    return f"layers are clipped at {told}" if bounds else "layers are clipped no more"


def set_epsilon(state: TrainState, value: float) -> tuple[float, str]:
    """Set ε in the optimizer; return what it was, and both in words."""
    old = state.optimizers.epsilon
    if old is None:
        raise RefusedError(f"`{state.recipe.optimizer}` has no ε of this kind")
    if not value > 0:
        raise RefusedError(f"ε can't be {value:g}")
    state.adjustments.epsilon = value
    state.optimizers.set_epsilon(value)
    if state.optimizers.epsilon != value:
        raise RefusedError(f"the optimizer's ε is {state.optimizers.epsilon} still")
    return old, f"ε {old:g} → {value:g}"


def train_layers(
    state: TrainState, stage: StagePlan, layers: Sequence[str], *, trains: bool
) -> tuple[list[str], str]:
    """Let `layers` train, or no more; return those that this changed, and it in words."""
    layers = _layers(state, layers)
    trained = {state.layers[name] for name in state.trainable}
    changed = [layer for layer in state.layer_order if layer in layers and (layer in trained) != trains]
    if not changed:
        raise RefusedError("they train already" if trains else "none of them trains")
    if not trains and not trained - set(changed):
        raise RefusedError("nothing would be left to train")
    adjustments = state.adjustments
    adjustments.frozen = sorted(
        (set(adjustments.frozen) - set(changed)) | (set() if trains else set(changed))
    )
    adjustments.unfrozen = sorted(
        (set(adjustments.unfrozen) - set(changed)) | (set(changed) if trains else set())
    )
    before = len(state.trainable)
    state.reenter(stage)
    verb = "train now" if trains else "no longer train"
    return changed, f"{', '.join(changed)} {verb}: {before} → {len(state.trainable)} tensors in the optimizer"


def next_stage(state: TrainState, plan: Plan) -> str:
    """End the present stage here; the updates that it had left are passed over."""
    stage = plan.stage_at(state.progress.step)
    if stage is plan.stages[-1]:
        raise RefusedError("this is the last stage of the recipe")
    left, state.progress.step = state.progress.step, stage.last_step
    return f"stage `{stage.name}` ends at step {left}; `{plan.stages[stage.index + 1].name}` begins after {stage.last_step}"


def reinitialize(state: TrainState, work: Work, layers: Sequence[str]) -> str:
    """Draw the new parameters of `layers` anew; pre-trained ones are what the run is made of, and are refused."""
    layers = _layers(state, layers)
    new = set(work.task.new_parameters)
    names = [name for name, layer in state.layers.items() if layer in layers and name in new]
    if not names:
        raise RefusedError("these layers are pre-trained: new weights would throw away what they know")
    return f"{len(names)} tensors of {', '.join(layers)} drawn anew; root mean square now {redraw(state, names):.3g}"


def exclude(state: TrainState, work: Work, rows: Sequence[int]) -> tuple[list[int], str]:
    """Leave `rows` out from now on; return those that were trained on until now, and it in words."""
    excluded = state.adjustments.excluded_rows
    added = sorted(set(rows) - set(excluded))
    present = set(work.encoded.rows.tolist())
    known = [row for row in added if row in present]
    if not known and added:
        raise RefusedError("none of these rows is in the training split")
    if len(present - set(excluded)) <= len(known):
        raise RefusedError("no row would be left to train on")
    excluded.extend(known)
    return known, f"{len(known)} rows left out from now on, {len(excluded)} in all"


def balance_classes(state: TrainState, work: Work) -> str:
    """Weight rows so that each class counts alike; the mean weight of a row stays 1."""
    counts = class_counts(work)
    if counts is None:
        raise RefusedError("rows have no single class here")
    if state.recipe.class_weights is not None:
        raise RefusedError("the recipe weights classes already (`class_weights`)")
    weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    state.adjustments.class_weights = [float(weight) for weight in weights]
    return f"rows weigh {weights.min():.3g} to {weights.max():.3g} by their class from now on"


def class_counts(work: Work) -> np.ndarray | None:
    """Return the training rows of each class, (classes,); None where rows have no single class."""
    targets = np.asarray(work.encoded.targets)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        return None
    return np.bincount(targets)


def _layers(state: TrainState, named: Sequence[str]) -> list[str]:
    """Return the layers meant by names of layers or of modules in them, in the model's order; refuses unknown ones."""
    meant: dict[str, set[str]] = {
        name: {name}
        if name in state.layer_order
        else {layer for parameter, layer in state.layers.items() if parameter.startswith(f"{name}.")}
        for name in named
    }
    if unknown := sorted(name for name, layers in meant.items() if not layers):
        raise RefusedError(
            f"there is no layer {', '.join(unknown)}; there are {', '.join(state.layer_order)}"
        )
    return [layer for layer in state.layer_order if any(layer in layers for layers in meant.values())]

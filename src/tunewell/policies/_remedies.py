"""What can be done about a fault: one remedy a function, from a finding and facts of the run to actions.

A remedy's actions belong together. No actions: it can't be had here, because the finding lacks what it needs, or there
is no checkpoint to go back to. A remedy knows nothing of what was tried before; `_ladders` says in which order to try.

Where the weights were harmed from the run's first updates on, a remedy goes back to the start, so that the mended run
learns from sound weights and, where a rollback gives the updates back, has its whole budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tunewell.actions import (
    Action,
    BalanceClasses,
    ClearGradients,
    ClipLayers,
    DivideGradients,
    ExcludeRows,
    NormalizeInputs,
    Optimize,
    Reinitialize,
    Rewarm,
    Rollback,
    ScaleLearningRate,
    ScaleLoss,
    SetEpsilon,
    SetMaxGradNorm,
    SetMode,
    ShuffleRows,
    Stop,
    StretchSchedule,
    TakeLogarithm,
    Unfreeze,
)
from tunewell.monitors._statistics import median
from tunewell.policies._protocol import Facts
from tunewell.records import Finding

Actions = tuple[Action, ...]
Remedy = Callable[[Finding, Facts], Actions]

USUAL_UPDATE = 1e-3
"""‖Δθ‖/‖θ‖ of an update at a good rate in fine-tuning (MiniLM: 7e-4): what a rate that did harm is lowered to."""
RAISED_UPDATE = 3e-3
"""The same for a rate at which nothing is learned: the geometric middle of TheDeepChecker's healthy 1e-4 to 1e-1."""
HALF, TENTH = 0.5, 0.1
PLATEAU_FACTOR, FURTHER = 0.2, 3.0
MOST_RAISED, MOST_CUT = 1000.0, 0.01
"""Bounds of one change of the rate: beyond them its evidence is not to be trusted."""
JUMP = 2.0
"""Rate beside its highest before from which it has left its schedule: a warm-up rises slowly, a warm restart no higher."""
NEAR = 10
"""Updates by which an onset may be told too late."""
NEARLY = 0.8
"""Share of the way to the best evaluation that a commit must have gone to stand for it."""
EARLY = 0.05
"""Share of the run after which going back to the start is worth it even if the weights took no harm."""
WARMUP = 0.1
"""Share of the run to warm up in: the usual `warmup_ratio`."""
LOSS_SCALE = 4096.0
"""2¹²: lifts gradients of 1e-8 over half precision's smallest number, 6e-8, and leaves those of 1 under its largest."""
USUAL_EPSILON, SMALL_EPSILON = 1e-8, 1e-15
"""PyTorch's default; and one below √v of any gradient that fp32 tells from 0 in practice."""


def onset(finding: Finding) -> int:
    """Return the step that the trouble began with; the start of the run is whole, so at the earliest the first."""
    known = finding.evidence.get("onset")
    return max(1, int(finding.step if known is None else known))


# Going back.


def rollback(finding: Finding, facts: Facts) -> Actions:
    """Go back to before the trouble; the batches since are passed over. Of no use where the rate itself jumped."""
    before = onset(finding)
    can = _has_commit(facts, before) and rate_jump(finding, facts) is None
    return (Rollback(before=before),) if can else ()


def restart(finding: Finding, facts: Facts) -> Actions:
    """Go back to the start."""
    return (Rollback(before=1),) if _has_commit(facts, 1) and facts.step > 0 else ()


def rollback_and_lower_rate(finding: Finding, facts: Facts) -> Actions:
    """Go back to before the trouble, at a rate that is lower by as much as the evidence says."""
    return _back_at(finding, facts, lower_factor(finding, facts))


def rollback_and_cut_rate(finding: Finding, facts: Facts) -> Actions:
    """Go back to before the trouble, at a tenth of what the evidence says."""
    return _back_at(finding, facts, max(1e-3, TENTH * lower_factor(finding, facts)))


def rollback_to_best_and_stop(finding: Finding, facts: Facts) -> Actions:
    """End training with the best weights."""
    known = finding.evidence.get("best")
    best = int((known.get("step") if isinstance(known, dict) else None) or onset(finding))
    # Of a run whose end brings the best model back nothing is asked; elsewhere by a commit that is nearly as good.
    near = any(NEARLY * best <= commit <= best for commit in facts.healthy_commits)
    back = (Rollback(before=best + 1),) if near and not facts.rollback_gives_back else ()
    return (*back, Stop(success=True))


# The rate and its course.


def lower_rate(finding: Finding, facts: Facts) -> Actions:
    """Lower the rate by as much as the evidence says, from now on."""
    return (ScaleLearningRate(lower_factor(finding, facts)),)


def lower_rate_for_plateau(finding: Finding, facts: Facts) -> Actions:
    """Lower the rate as the plateau schedule does."""
    return (ScaleLearningRate(PLATEAU_FACTOR),)


def raise_rate(finding: Finding, facts: Facts) -> Actions:
    """Raise the rate to where an update moves the weights by three thousandths."""
    factor = raise_factor(finding)
    if factor is None:
        return ()
    if _starts_anew(finding, facts, harmed=False):
        return (Rollback(before=1, learning_rate_factor=factor),)
    return (ScaleLearningRate(factor),)


def raise_rate_by_less(finding: Finding, facts: Facts) -> Actions:
    """Raise the rate half as far, on a logarithmic scale."""
    factor = raise_factor(finding)
    return () if factor is None else (ScaleLearningRate(math.sqrt(factor)),)


def raise_rate_further(finding: Finding, facts: Facts) -> Actions:
    """Treble the rate once more: the good rate of a model is not known beforehand, but below it a loss falls in
    proportion to it."""
    first = _number(finding.evidence.get("learning_rate"))
    within = first is None or FURTHER * facts.learning_rate <= MOST_RAISED * first
    return (ScaleLearningRate(FURTHER),) if within else ()


def rewarm(finding: Finding, facts: Facts) -> Actions:
    """Warm up over the usual share of the run, from sound weights where there are any."""
    steps = int(finding.evidence.get("warmup_steps") or WARMUP * facts.last_step)
    back = restart(finding, facts) or rollback(finding, facts)
    return (*back, Rewarm(max(10, steps)))


def stretch_schedule(finding: Finding, facts: Facts) -> Actions:
    """Let the schedule run as slowly as it should."""
    evidence = finding.evidence
    ticks = float(evidence.get("factor") or evidence.get("ticks") or evidence.get("schedule_ticks") or 0)
    return (StretchSchedule(ticks),) if ticks > 1 else ()


# Rows.


def exclude_rows(finding: Finding, facts: Facts) -> Actions:
    """Leave the blamed rows out from now on."""
    rows = sorted(set(finding.rows) | set(finding.evidence.get("again", ())))
    return (ExcludeRows(rows),) if rows else ()


def shuffle_rows(finding: Finding, facts: Facts) -> Actions:
    """Draw rows in random order."""
    return (*_from_start(finding, facts, harmed=False), ShuffleRows())


def balance_classes(finding: Finding, facts: Facts) -> Actions:
    """Let every class count alike."""
    return (*_from_start(finding, facts, harmed=False), BalanceClasses())


def normalize_inputs(finding: Finding, facts: Facts) -> Actions:
    """Bring inputs to mean 0 and standard deviation 1, and begin again from weights that never saw others."""
    evidence = finding.evidence
    mean, std = (_number(evidence.get(key, evidence.get(f"input_{key}"))) for key in ("mean", "std"))
    if mean is None or not std:
        return ()
    return (*_from_start(finding, facts, harmed=True), NormalizeInputs(mean, std))


# Gradients and the optimizer.


def clip(finding: Finding, facts: Facts) -> Actions:
    """Clip the gradient at the norm that was usual before the trouble."""
    usual = [norm for step, norm in facts.norms if step < onset(finding)]
    bound = median(usual) if usual else _number(finding.evidence.get("usual_norm"))
    if (
        not bound
        or rate_jump(finding, facts) is not None
        or (facts.max_grad_norm is not None and bound >= facts.max_grad_norm)
    ):
        return ()
    return (SetMaxGradNorm(float(f"{bound:.3g}")),)


def clip_layers(finding: Finding, facts: Facts) -> Actions:
    """Clip each layer's gradient at twice the norm that was usual before the trouble (AdaGC's margin is 1.05 of an
    average; twice leaves ordinary noise alone)."""
    if rate_jump(finding, facts) is not None:
        return ()
    earlier = [norms for step, norms in facts.layer_norms if step < onset(finding)]
    usual = dict(finding.evidence.get("usual_layers") or {})
    for layer in {name for norms in earlier for name in norms}:
        usual[layer] = median([norms[layer] for norms in earlier if layer in norms])
    bounds = {layer: float(f"{2 * norm:.3g}") for layer, norm in sorted(usual.items()) if norm > 0}
    return (ClipLayers(bounds),) if bounds else ()


def clear_gradients(finding: Finding, facts: Facts) -> Actions:
    """Clear gradients after each update, and go back to weights that no stale gradient moved."""
    return (ClearGradients(), *_from_start(finding, facts, harmed=True))


def divide_gradients(finding: Finding, facts: Facts) -> Actions:
    """Divide what was gathered over several backward passes by their number."""
    divisor = _number(finding.evidence.get("divisor")) or 0.0
    return (DivideGradients(divisor), *_from_start(finding, facts, harmed=True))


def optimize(finding: Finding, facts: Facts) -> Actions:
    """Put the forgotten parameters into the optimizer."""
    evidence = finding.evidence
    names = list(evidence.get("parameters") or evidence.get("not_optimized") or ())
    return (Optimize(names), *_from_start(finding, facts, harmed=False)) if names else ()


def set_epsilon(finding: Finding, facts: Facts) -> Actions:
    """Give Adam its usual ε."""
    return (SetEpsilon(USUAL_EPSILON), *_from_start(finding, facts, harmed=False))


def set_small_epsilon(finding: Finding, facts: Facts) -> Actions:
    """Give Adam an ε below the smallest gradients, so that their layers move like the others."""
    return (SetEpsilon(SMALL_EPSILON), *_from_start(finding, facts, harmed=False))


def scale_loss(finding: Finding, facts: Facts) -> Actions:
    """Scale the loss up, so that small gradients are not lost to half precision."""
    return (ScaleLoss(LOSS_SCALE), *_from_start(finding, facts, harmed=False))


# The model.


def unfreeze(finding: Finding, facts: Facts) -> Actions:
    """Let the frozen layers train."""
    evidence = finding.evidence
    named = evidence.get("layers") or evidence.get("layer") or evidence.get("output_layer") or ()
    layers = [named] if isinstance(named, str) else list(named)
    return (Unfreeze(layers), *_from_start(finding, facts, harmed=False)) if layers else ()


def set_mode(finding: Finding, facts: Facts) -> Actions:
    """Hold the model in training mode in training, and in evaluation mode in evaluation."""
    return (SetMode(), *_from_start(finding, facts, harmed=False))


def take_logarithm(finding: Finding, facts: Facts) -> Actions:
    """Undo the model's own softmax before the loss applies its own."""
    return (TakeLogarithm(), *_from_start(finding, facts, harmed=False))


def reinitialize(finding: Finding, facts: Facts) -> Actions:
    """Give the sick layers new weights, from the start where there is a way back."""
    named = finding.evidence.get("layers") or finding.evidence.get("layer") or ()
    layers = [named] if isinstance(named, str) else list(named)
    return (*_from_start(finding, facts, harmed=True), Reinitialize(layers)) if layers else ()


def stop(finding: Finding, facts: Facts) -> Actions:
    """End training; the best model is the result."""
    return (Stop(success=True),)


def give_up(finding: Finding, facts: Facts) -> Actions:
    """End training as failed."""
    return (Stop(success=False),)


# What they share.


def rate_jump(finding: Finding, facts: Facts) -> float | None:
    """Return how many times its highest before the rate has become since the trouble began; None: it did not jump."""
    jump = _number(finding.evidence.get("rate_jump"))
    if jump is None:
        began = onset(finding) - NEAR
        before = [rate for step, rate in facts.rates if step < began]
        since = [rate for step, rate in facts.rates if step >= began]
        if len(before) < NEAR or not since or max(before) <= 0:
            return None
        jump = max(since) / max(before)
    return jump if jump > JUMP else None


def lower_factor(finding: Finding, facts: Facts) -> float:
    """Return what the rate has to be multiplied by, as far as the evidence tells."""
    evidence = finding.evidence
    jump = rate_jump(finding, facts)
    if jump is not None:
        return max(1e-4, 1 / jump)  # back to the schedule: a jump is known exactly
    ratio = _number(evidence.get("update_ratio"))
    if ratio is not None and ratio > 2 * USUAL_UPDATE:
        return min(HALF, max(MOST_CUT, USUAL_UPDATE / ratio))
    return TENTH if evidence.get("never_learned") else HALF


def raise_factor(finding: Finding) -> float | None:
    """Return what a rate that is too low has to be multiplied by; None: updates are not too small."""
    ratio = _number(finding.evidence.get("update_ratio"))
    if ratio is None:
        ratios = [r for r in finding.evidence.get("update_ratios") or () if isinstance(r, float) and r > 0]
        ratio = median(ratios) if ratios else None
    if ratio is None:
        return 10.0
    factor = RAISED_UPDATE / max(ratio, 1e-12)
    return min(MOST_RAISED, factor) if factor >= 2 else None


def _back_at(finding: Finding, facts: Facts, factor: float) -> Actions:
    before = onset(finding)
    if _has_commit(facts, before):
        return (Rollback(before=before, learning_rate_factor=factor),)
    return (ScaleLearningRate(factor),)  # nothing to go back to: the least that can be done


def _from_start(finding: Finding, facts: Facts, *, harmed: bool) -> Actions:
    """Go back to the start where that is worth it; nothing otherwise."""
    return restart(finding, facts) if _starts_anew(finding, facts, harmed=harmed) else ()


def _starts_anew(finding: Finding, facts: Facts, *, harmed: bool) -> bool:
    """Whether the fault was there from the beginning, and going back to it is worth what has been trained since."""
    from_the_beginning = onset(finding) <= max(3, EARLY * facts.last_step)
    costly = facts.step > EARLY * facts.last_step
    worth = harmed or (facts.rollback_gives_back and costly)
    return from_the_beginning and worth and facts.step > 0 and _has_commit(facts, 1)


def _has_commit(facts: Facts, before: int) -> bool:
    return any(commit < before for commit in facts.healthy_commits)


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]

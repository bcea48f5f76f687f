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
from tunewell.policies._evidence import (
    MOST_RAISED,
    SMALL_EPSILON,
    TENTH,
    USUAL_EPSILON,
    lower_factor,
    number,
    onset,
    raise_factor,
    rate_jump,
)
from tunewell.policies._protocol import Facts
from tunewell.records import Finding

Actions = tuple[Action, ...]
Remedy = Callable[[Finding, Facts], Actions]

PLATEAU_FACTOR, FURTHER = 0.2, 3.0
NEARLY = 0.8
"""Share of the way to the best evaluation that a commit must have gone to stand for it."""
FEW = 0.1
"""Share of the rows that can be left out without a loss that matters."""
WORTH = 0.1
"""Share of the run that must be left for another try to be worth it."""
EARLY = 0.05
"""Share of the run after which going back to the start is worth it even if the weights took no harm."""
WARMUP = 0.1
"""Share of the run to warm up in: the usual `warmup_ratio`."""
LOSS_SCALE, LESS_LOSS_SCALE = 65536.0, 4096.0
"""2¹⁶, where PyTorch's gradient scaler begins; and 2¹², which leaves gradients of up to 16 under half precision's largest
number."""


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
    """Go back to before the trouble, at a rate that is lower by as much as the evidence says; where one batch did it, the
    rate is right as it is."""
    if finding.evidence.get("cause") == "loss_spike" != finding.code and (back := rollback(finding, facts)):
        return back
    return _back_at(finding, facts, lower_factor(finding, facts))


def rollback_and_cut_rate(finding: Finding, facts: Facts) -> Actions:
    """Go back to before the trouble, at a tenth of what the evidence says."""
    return _back_at(finding, facts, max(1e-3, TENTH * lower_factor(finding, facts)))


def rollback_and_go_slowly(finding: Finding, facts: Facts) -> Actions:
    """Go back to before the loss, at a rate by which the rest of the run goes as far as the updates that did the harm, and
    end with what evaluated best on that way: between the old and the new there lies a best of both."""
    if facts.best_step is None:
        return rollback_and_lower_rate(finding, facts)
    harmful = facts.step - onset(finding) + 1
    left = facts.last_step - facts.step
    if facts.keeps_best or harmful <= 0 or left <= harmful:  # it is under way, or there is no time for it
        return ()
    return (Rollback(onset(finding), learning_rate_factor=harmful / left, keeps_best=True),)


def rollback_to_best_and_decay(finding: Finding, facts: Facts) -> Actions:
    """Go back to the best weights and on with more weight decay; the run ends with what evaluated best.

    The decay is such that weights which no gradient holds up fall to 1/e by the end.
    """
    left = facts.last_step - facts.step
    if (
        facts.best_step is None
        or facts.keeps_best
        or facts.balances
        or left < WORTH * facts.last_step
        or facts.learning_rate <= 0
    ):
        return ()
    decay = float(f"{1 / (facts.learning_rate * left):.3g}")
    return (Rollback(facts.best_step + 1, keeps_best=True, weight_decay=decay),)


def rollback_to_best_and_stop(finding: Finding, facts: Facts) -> Actions:
    """End training with the best weights; not where it can't be told which are."""
    if facts.balances:
        return ()
    if facts.best_step is not None:
        return (Rollback(facts.best_step + 1, keeps_best=True), Stop(success=True))
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
    if _starts_anew(
        finding, facts, harmed=not facts.rollback_gives_back
    ):  # nothing was learned that could be lost
        return (Rollback(before=1, learning_rate_factor=factor),)
    return (ScaleLearningRate(factor),)


def raise_rate_by_less(finding: Finding, facts: Facts) -> Actions:
    """Raise the rate half as far, on a logarithmic scale."""
    factor = raise_factor(finding)
    return () if factor is None else (ScaleLearningRate(math.sqrt(factor)),)


def raise_rate_further(finding: Finding, facts: Facts) -> Actions:
    """Treble the rate once more: the good rate of a model is not known beforehand, but below it a loss falls in
    proportion to it."""
    first = number(finding.evidence.get("learning_rate"))
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


def exclude_few_rows(finding: Finding, facts: Facts) -> Actions:
    """Leave the blamed rows out where they are few: most of what a cut row says is right."""
    total = number(finding.evidence.get("of"))
    found = number(finding.evidence.get("truncated")) or 0.0
    return exclude_rows(finding, facts) if total and max(found, len(finding.rows)) <= FEW * total else ()


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
    mean, std = (number(evidence.get(key, evidence.get(f"input_{key}"))) for key in ("mean", "std"))
    if mean is None or not std:
        return ()
    return (*_from_start(finding, facts, harmed=True), NormalizeInputs(mean, std))


# Gradients and the optimizer.


def clip(finding: Finding, facts: Facts) -> Actions:
    """Clip the gradient at the norm that was usual before the trouble."""
    usual = [norm for step, norm in facts.norms if step < onset(finding)]
    bound = median(usual) if usual else number(finding.evidence.get("usual_norm"))
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
    divisor = number(finding.evidence.get("divisor")) or 0.0
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


def scale_layers(finding: Finding, facts: Facts) -> Actions:
    """Multiply the gradients of the layers that get almost none, so that they are as large as the others'."""
    named = finding.evidence.get("layers") or ()
    layers = [named] if isinstance(named, str) else list(named)
    norms = facts.layer_norms[-1][1] if facts.layer_norms else {}
    others = [norm for layer, norm in norms.items() if layer not in layers and norm > 0]
    own = [norms[layer] for layer in layers if norms.get(layer, 0.0) > 0]
    if not others or len(own) < len(layers) or not layers or median(own) * MOST_RAISED > median(others):
        return ()
    factor = float(f"{median(others) / median(own):.3g}")
    return (ScaleLoss(factor, layers), *_from_start(finding, facts, harmed=True))


def scale_loss(finding: Finding, facts: Facts) -> Actions:
    """Scale the loss up, so that small gradients are not lost to half precision."""
    return (ScaleLoss(LOSS_SCALE), *_from_start(finding, facts, harmed=False))


def scale_loss_by_less(finding: Finding, facts: Facts) -> Actions:
    """Scale the loss up by less, where large gradients became infinite."""
    return (ScaleLoss(LESS_LOSS_SCALE), *_from_start(finding, facts, harmed=False))


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
    worth = (
        harmed or facts.rollback_gives_back == costly
    )  # elsewhere what was trained is lost: worth it while it is little
    return from_the_beginning and worth and facts.step > 0 and _has_commit(facts, 1)


def _has_commit(facts: Facts, before: int) -> bool:
    return any(commit < before for commit in facts.healthy_commits)

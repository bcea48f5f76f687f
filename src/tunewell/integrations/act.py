"""The one place that carries out actions on somebody else's loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from tunewell import actions as does
from tunewell.actions import Action
from tunewell.integrations.adjustments import Adjustments, is_no_bound
from tunewell.integrations.interventions import Interventions, draw_anew, put_into
from tunewell.integrations.row_order import RowOrder
from tunewell.integrations.snapshots import Snapshot, Snapshots
from tunewell.integrations.updates import Updates
from tunewell.monitors import Watch
from tunewell.records import Rewound

_ANYWHERE = frozenset(
    {
        "scale_learning_rate",
        "set_learning_rate",
        "set_max_grad_norm",
        "rewarm",
        "stretch_schedule",
        "clip_layers",
        "freeze",
        "unfreeze",
        "reinitialize",
        "clear_gradients",
        "divide_gradients",
        "optimize",
        "set_mode",
        "normalize_inputs",
        "rollback",
        "pause",
        "resume",
        "stop",
    }
)
BALANCED = 0.75
"""Share of what is left of a run in which classes are drawn alike before the loss alone makes up for their numbers."""
_ROWS = frozenset({"exclude_rows", "include_rows", "shuffle_rows"})


@dataclass(frozen=True)
class Outcome:
    """What became of an action, and what would take it back."""

    outcome: Literal["applied", "refused", "failed"]
    detail: str
    undo: Action | None = None
    rewound: Rewound | None = None


@dataclass
class Hands:
    """All that actions can reach of a loop."""

    model: nn.Module
    optimizer: Optimizer
    updates: Updates
    adjustments: Adjustments
    interventions: Interventions
    snapshots: Snapshots
    rows: RowOrder
    watch: Watch
    keeps_best: bool = False
    """The run ends with the weights that evaluated best."""
    paused: bool = False
    left_to_loop: frozenset[str] = frozenset()
    """Tags of what the loop does itself where it is asked to, such as ``evaluate_now``."""
    asked_of_loop: set[str] = field(default_factory=set)
    stop: does.Stop | None = None
    stop_reason: str = ""

    def can(self) -> frozenset[str]:
        """Return the tags of the actions that this loop can carry out now."""
        tags = set(_ANYWHERE) | self.left_to_loop
        if self.rows.is_used:
            tags |= _ROWS
            if self.rows.has_classes:
                tags.add("balance_classes")
        if any("eps" in group for group in self.optimizer.param_groups):
            tags.add("set_epsilon")
        if not self.updates.is_scaled:
            tags.add("scale_loss")
        if self.updates.forwards.gives_probabilities:
            tags.add("take_logarithm")
        return frozenset(tags)


def apply(action: Action, hands: Hands, reason: str) -> Outcome:
    """Carry out `action` and return what really changed."""
    if action.__struct_config__.tag not in hands.can():
        return Outcome("refused", _why_not(action, hands))
    match action:
        case does.ScaleLearningRate() | does.SetLearningRate() | does.Rewarm() | does.StretchSchedule():
            return _of_rate(action, hands)
        case (
            does.SetMaxGradNorm()
            | does.ClipLayers()
            | does.ClearGradients()
            | does.DivideGradients()
            | does.ScaleLoss()
        ):
            return _of_gradients(action, hands.adjustments)
        case does.SetEpsilon(value=value):
            return _set_epsilon(value, hands.optimizer)
        case does.Freeze() | does.Unfreeze() | does.Reinitialize() | does.Optimize():
            return _of_layers(action, hands)
        case does.SetMode() | does.TakeLogarithm() | does.NormalizeInputs():
            hands.snapshots.forget_best()
            return _of_model(action, hands.interventions)
        case does.ExcludeRows() | does.IncludeRows() | does.ShuffleRows() | does.BalanceClasses():
            return _of_rows(action, hands)
        case does.Rollback():
            return _roll_back(action, hands)
        case does.Pause() | does.Resume() | does.Stop() | does.EvaluateNow() | does.SaveNow():
            return _of_course(action, hands, reason)
    return Outcome("refused", _why_not(action, hands))


def _of_course(action: Action, hands: Hands, reason: str) -> Outcome:
    """Carry out what lets the loop wait, go on or end, or what it is asked to do itself."""
    match action:
        case does.Pause():
            hands.paused = True
            detail = f"the loop waits after step {hands.updates.step:,}; nothing is saved, as the loop is somebody else's"
            return Outcome("applied", detail, does.Resume())
        case does.Resume():
            hands.paused = False
            return Outcome("applied", f"the loop goes on after step {hands.updates.step:,}")
        case does.Stop():
            hands.stop, hands.stop_reason, hands.paused = action, reason, False
            return Outcome("applied", "`should_stop` is true from now on: the loop ends if it asks for it")
    hands.asked_of_loop.add(str(action.__struct_config__.tag))
    return Outcome("applied", "the loop does it after this step")


def _why_not(action: Action, hands: Hands) -> str:
    match action:
        case does.ExcludeRows() | does.IncludeRows() | does.ShuffleRows() | does.BalanceClasses():
            if hands.rows.is_used:
                return "the rows' classes are not known: give `train`, or `rows` with each loss"
            return "the loop chooses its rows itself: take them from `watch.batches(order)`"
        case does.SetEpsilon():
            return "the optimizer has no ε"
        case does.ScaleLoss():
            return "a gradient scaler scales the loss already"
        case does.TakeLogarithm():
            return "the model's own output is no probability: the softmax is applied outside of it"
    return "somebody else's loop can't do that"


def _of_rate(action: Action, hands: Hands) -> Outcome:
    adjustments, step = hands.adjustments, hands.updates.step
    old = _rate(hands)
    undo: Action
    match action:
        case does.ScaleLearningRate(factor=factor) if 0 < factor < 1e6:
            adjustments.rate_factor *= factor
            undo = does.ScaleLearningRate(1 / factor)
        case does.SetLearningRate(value=value) if value > 0 and old > 0:
            adjustments.rate_factor *= value / old
            undo = does.ScaleLearningRate(old / value)
        case does.Rewarm(steps=steps) if steps > 0:
            adjustments.warms_from, adjustments.warms_for = step, steps
            return Outcome(
                "applied", f"the rate rises from {_rate(hands):.3g} to {old:.3g} over {steps} updates"
            )
        case does.StretchSchedule(factor=factor) if factor * adjustments.stretch >= 1:
            adjustments.stretch *= factor
            detail = f"the schedule runs {adjustments.stretch:g} times slower; learning rate {old:.3g} → {_rate(hands):.3g}"
            return Outcome("applied", detail, does.StretchSchedule(1 / factor))
        case does.StretchSchedule():
            return Outcome(
                "refused", "a schedule of somebody else's can't be run faster: what it will say is not known"
            )
        case _:
            return Outcome("refused", "there is no such rate, or the schedule's rate is 0 now")
    detail = f"learning rate {old:.3g} → {_rate(hands):.3g}, and so the rest of the schedule"
    return Outcome("applied", detail, undo)


def _rate(hands: Hands) -> float:
    """Return the largest rate of the coming update, as schedule and adjustments make it now."""
    coming = hands.updates.step + 1
    factor = hands.adjustments.factor_at(coming)
    return max(float(rate) for rate in hands.adjustments.scheduled(coming)) * factor


def _of_gradients(action: Action, adjustments: Adjustments) -> Outcome:
    match action:
        case does.SetMaxGradNorm(value=value):
            old = adjustments.max_grad_norm
            adjustments.max_grad_norm = None if is_no_bound(value) else value
            undo: Action = does.SetMaxGradNorm(float("inf") if old is None else old)
            return Outcome("applied", f"gradients are clipped at {value:.3g} before each update", undo)
        case does.ClipLayers(bounds=bounds):
            undo = does.ClipLayers(adjustments.layer_bounds)
            adjustments.layer_bounds = dict(bounds)
            return Outcome(
                "applied", f"the gradients of {len(bounds)} layers are clipped, each at its own norm", undo
            )
        case does.ClearGradients():
            adjustments.clears = True
            return Outcome("applied", "gradients are cleared after each update")
        case does.DivideGradients(divisor=divisor) if divisor >= 0:
            undo = does.DivideGradients(adjustments.divisor)
            adjustments.divisor = divisor
            by = f"{divisor:g}" if divisor else "the number of backward passes"
            return Outcome("applied", f"the gradient is divided by {by} before each update", undo)
        case does.ScaleLoss(factor=factor, layers=layers) if factor > 0 and layers:
            undo = does.ScaleLoss(adjustments.layer_factors.get(layers[0], 1.0), layers)
            adjustments.layer_factors |= dict.fromkeys(layers, factor)
            return Outcome(
                "applied", f"the gradients of {_listed(layers)} are multiplied by {factor:.3g}", undo
            )
        case does.ScaleLoss(factor=factor) if factor > 0:
            undo = does.ScaleLoss(adjustments.loss_factor)
            adjustments.loss_factor = factor
            return Outcome(
                "applied", f"the loss goes backward times {factor:g}, the gradients are divided by it", undo
            )
    return Outcome("refused", "there is no such number")


def _set_epsilon(value: float, optimizer: Optimizer) -> Outcome:
    groups = [group for group in optimizer.param_groups if "eps" in group]
    old = groups[0]["eps"]
    for group in groups:
        group["eps"] = value
    undo = does.SetEpsilon(old) if isinstance(old, float) else None
    return Outcome("applied", f"ε {old} → {value:g}", undo)


def _of_layers(action: Action, hands: Hands) -> Outcome:
    parameters = dict(hands.model.named_parameters())
    if isinstance(action, does.Optimize):
        known = [name for name in action.parameters if name in parameters]
        added = put_into(hands.optimizer, known, parameters)
        if not added:
            return Outcome("refused", "none of these parameters is missing in the optimizer")
        return Outcome(
            "applied", f"{len(added)} parameters joined the groups of their neighbours: {_listed(added)}"
        )
    assert isinstance(action, does.Freeze | does.Unfreeze | does.Reinitialize)
    own = {name: p for name, p in parameters.items() if hands.updates.layers.of.get(name) in action.layers}
    modules = dict(hands.model.named_modules())
    own |= {name: p for layer in action.layers if layer in modules for name, p in _of_module(layer, modules)}
    if not own:
        return Outcome("refused", f"there is no layer {_listed(action.layers)}")
    match action:
        case does.Reinitialize():
            owners = {name.rpartition(".")[0]: modules[name.rpartition(".")[0]] for name in own}
            draw_anew(hands.model, list(owners.values()), hands.optimizer)
            hands.snapshots.forget_best()
            hands.snapshots.mend(own)
            return Outcome("applied", f"{len(own)} parameters of {_listed(action.layers)} were drawn anew")
        case does.Freeze():
            for parameter in own.values():
                parameter.requires_grad_(False)
                parameter.grad = None
            return Outcome(
                "applied", f"{_listed(action.layers)} trains no more", does.Unfreeze(action.layers)
            )
        case does.Unfreeze():
            for parameter in own.values():
                parameter.requires_grad_(True)
            added = put_into(hands.optimizer, list(own), parameters)
            joined = f"; {len(added)} of its parameters joined the optimizer" if added else ""
            return Outcome("applied", f"{_listed(action.layers)} trains{joined}", does.Freeze(action.layers))


def _of_module(layer: str, modules: dict[str, nn.Module]) -> list[tuple[str, nn.Parameter]]:
    prefix = f"{layer}." if layer else ""
    return [(f"{prefix}{name}", parameter) for name, parameter in modules[layer].named_parameters()]


def _of_model(action: Action, interventions: Interventions) -> Outcome:
    match action:
        case does.SetMode():
            interventions.hold_modes()
            return Outcome("applied", "training mode wherever gradients are made, evaluation mode elsewhere")
        case does.TakeLogarithm():
            interventions.take_logarithm()
            return Outcome("applied", "the model gives the logarithm of its probabilities")
        case does.NormalizeInputs(mean=mean, std=std) if std > 0:
            interventions.normalize_inputs(mean, std)
            return Outcome("applied", f"inputs have {mean:.4g} subtracted and are divided by {std:.4g}")
    return Outcome("refused", "a standard deviation is above 0")


def _of_rows(action: Action, hands: Hands) -> Outcome:
    rows = hands.rows
    match action:
        case does.ExcludeRows(rows=asked):
            fresh = sorted(set(asked) - rows.excluded)
            rows.excluded.update(fresh)
            detail = f"{len(fresh)} rows left out from now on, {len(rows.excluded)} in all"
            return Outcome("applied", detail, does.IncludeRows(fresh))
        case does.IncludeRows(rows=asked):
            back = sorted(rows.excluded & set(asked))
            rows.excluded.difference_update(back)
            return Outcome("applied", f"{len(back)} rows come again", does.ExcludeRows(back))
        case does.ShuffleRows():
            rows.shuffles = True
            return Outcome("applied", "rows come in random order from the next batch on")
        case _:
            return _balance(hands)


def _balance(hands: Hands) -> Outcome:
    """Draw each class alike; in the last quarter of what is left rows come as they stand, with a corrected loss.

    Rare rows that are drawn again and again show the model what tells their class apart, and are then learned by heart.
    """
    rows, interventions = hands.rows, hands.interventions
    rows.balances, rows.balanced_batches = True, None
    detail = "each class is drawn alike from the next batch on"
    total = hands.adjustments.total_steps
    if total is None or total <= hands.updates.step:
        return Outcome("applied", detail)
    first = rows.balanced_batches = round(BALANCED * (total - hands.updates.step))

    def is_due() -> bool:
        return rows.balances and not rows.draws_balanced

    interventions.correct_for_classes(rows.class_counts(), is_due)
    rows.can_correct = lambda: interventions.can_correct
    return Outcome("applied", f"{detail}, {first} times; then the loss is corrected for how common each is")


def _roll_back(action: does.Rollback, hands: Hands) -> Outcome:
    if action.commit is None:
        snapshot = hands.snapshots.last_before(action.before)
    else:
        snapshot = hands.snapshots.numbered(action.commit)
    if snapshot is None:
        which = f"of number {action.commit}" if action.commit else f"of before step {action.before}"
        return Outcome("refused", f"there is no healthy copy {which}")
    left = hands.updates.step
    hands.snapshots.restore(snapshot)
    hands.watch.unpack(snapshot.judgement)
    hands.adjustments.rate_factor *= action.learning_rate_factor
    detail = f"weights and optimizer of step {left} → {snapshot.step}; the loop goes on with its next batch"
    if snapshot.step == 0 and hands.adjustments.total_steps is not None:
        hands.adjustments.began_behind = left
        detail += (
            f", and its schedule from the beginning, over the {hands.adjustments.total_steps - left} left"
        )
    if action.learning_rate_factor != 1.0:
        detail += f"; learning rate × {action.learning_rate_factor:g}, now {_rate(hands):.3g}"
    if action.weight_decay > 0:
        hands.adjustments.weight_decay = action.weight_decay
        detail += f"; weights are decayed by {action.weight_decay:.3g} times the rate"
    if action.keeps_best and hands.snapshots.best is not None:
        hands.keeps_best = True
        detail += "; the run ends with the weights that evaluate best"
    return Outcome("applied", detail, rewound=_rewound(left, snapshot))


def end_with_best(hands: Hands) -> Outcome | None:
    """Put the weights back that evaluated best, where a rollback asked for it; None: they are there, or nobody asked."""
    best = hands.snapshots.best
    if not hands.keeps_best or best is None or hands.snapshots.is_best():
        return None
    hands.snapshots.restore(best)
    detail = f"the run ends with the weights of step {best.step}, which evaluated best"
    return Outcome("applied", detail, rewound=_rewound(hands.updates.step, best))


def _rewound(left: int, snapshot: Snapshot) -> Rewound:
    return Rewound(
        time=time.time(), step=left, to_step=snapshot.step, commit=snapshot.number, reason="rollback"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

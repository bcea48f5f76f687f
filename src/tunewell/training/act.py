"""The one place that carries out actions on a run: all of an action or nothing, and read back where it counts."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

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
from tunewell.problems import InputError
from tunewell.records import Rewound
from tunewell.runs.checkpoints import Commit
from tunewell.training import adjust
from tunewell.training.adjust import RefusedError
from tunewell.training.loop import Work
from tunewell.training.state import TrainState

IMPOSSIBLE: dict[type[Action], str] = {
    ClearGradients: "this loop clears gradients after each update",
    DivideGradients: "this loop divides a loss once by the rows of the whole update",
    Optimize: "this loop makes its optimizer of every parameter that trains",
    SetMode: "this loop sets the mode itself, before each update and each evaluation",
    TakeLogarithm: "this loop's losses take the model's logits",
    NormalizeInputs: "this task's inputs are tokens, not numbers",
    ScaleLoss: "gradients are fp32 here, and under fp16 a loss scale is found by itself",
    ShuffleRows: "this loop draws rows in random order",
}
"""Actions for faults that this loop can't have, and why."""
POSSIBLE = frozenset(action.__struct_config__.tag for action in Action.__args__ if action not in IMPOSSIBLE)
"""Tags of the actions that this loop can carry out."""


@dataclass(frozen=True)
class Outcome:
    """What became of an action; `rewound` is the record that a rollback adds, `undo` what would take it back."""

    outcome: Literal["applied", "refused", "failed", "dry_run"]
    detail: str
    rewound: Rewound | None = None
    undo: Action | None = None


@dataclass
class Wishes:
    """What actions ask of the run's next boundary between steps."""

    evaluate: bool = False
    save: bool = False
    stop: Stop | None = None
    stop_reason: str = field(default="")
    paused: bool = False


class CommitStore(Protocol):
    """Where rollbacks find their commit."""

    def last_healthy(self, before: int) -> Commit | None:
        """Return the newest healthy commit of a step less than `before` that verifies, or None."""

    def numbered(self, number: int) -> Commit | None:
        """Return the healthy commit of this number if it verifies, or None."""

    def restore(self, commit: Commit) -> None:
        """Load weights, optimizer and monitors of `commit`; cursor and adjustments stay."""


def apply(
    action: Action, state: TrainState, work: Work, store: CommitStore, wishes: Wishes, reason: str
) -> Outcome:
    """Carry out `action` and return what really changed.

    What is refused or fails leaves the run's adjustments as they were.
    """
    before = copy.deepcopy(state.adjustments)
    try:
        return _apply(action, state, work, store, wishes, reason)
    except RefusedError as refusal:
        state.adjustments = before
        return Outcome("refused", str(refusal))
    except InputError as error:
        state.adjustments = before
        return Outcome("failed", error.problems[0].message)


def _apply(
    action: Action, state: TrainState, work: Work, store: CommitStore, wishes: Wishes, reason: str
) -> Outcome:
    stage = work.plan.stage_at(state.progress.step)
    match action:
        case Rollback():
            return _roll_back(action, state, work, store)
        case ScaleLearningRate(factor=factor):
            return Outcome("applied", adjust.scale_rate(state, stage, factor), undo=_unscaled(factor))
        case SetLearningRate(value=value):
            if not math.isfinite(value):
                raise RefusedError(f"a learning rate can't be {value:g}")
            factor = value / adjust.present_rate(state, stage)
            return Outcome("applied", adjust.scale_rate(state, stage, factor), undo=_unscaled(factor))
        case SetMaxGradNorm(value=value):
            old, new = state.adjustments.max_grad_norm, value if math.isfinite(value) else None
            if new is not None and new <= 0:
                raise RefusedError(f"gradients can't be clipped at {value:g}")
            state.adjustments.max_grad_norm = new
            return Outcome(
                "applied",
                f"max_grad_norm {old} → {new}",
                undo=SetMaxGradNorm(math.inf if old is None else old),
            )
        case ExcludeRows(rows=rows):
            added, detail = adjust.exclude(state, work, rows)
            return Outcome("applied", detail, undo=IncludeRows(added))
        case IncludeRows(rows=rows):
            back = sorted(set(rows) & set(state.adjustments.excluded_rows))
            left = [row for row in state.adjustments.excluded_rows if row not in set(back)]
            state.adjustments.excluded_rows = left
            return Outcome("applied", f"{len(back)} rows are trained on again", undo=ExcludeRows(back))
        case EvaluateNow():
            wishes.evaluate = True
            return Outcome("applied", "evaluation after this step")
        case SaveNow():
            wishes.save = True
            return Outcome("applied", "checkpoint after this step")
        case Pause() | Resume() | Stop():
            return _of_course(action, state, wishes, reason)
        case _:
            return _adjust(action, state, work)


def _of_course(action: Pause | Resume | Stop, state: TrainState, wishes: Wishes, reason: str) -> Outcome:
    """Carry out what lets the run wait, go on or end."""
    step = state.progress.step
    match action:
        case Pause() if wishes.paused:
            raise RefusedError("it is paused already")
        case Pause():
            wishes.paused = True
            return Outcome("applied", f"training waits after step {step:,}, which is saved", undo=Resume())
        case Resume():
            wishes.paused = False
            return Outcome("applied", f"training goes on after step {step:,}")
        case Stop():
            wishes.stop, wishes.stop_reason, wishes.paused = action, reason, False
            return Outcome("applied", f"training ends after step {step}")


def _adjust(action: Action, state: TrainState, work: Work) -> Outcome:
    """Carry out what changes the optimizer, the schedule or which layers train."""
    stage = work.plan.stage_at(state.progress.step)
    adjustments = state.adjustments
    match action:
        case SetMicroBatchTokens(value=value):
            if value < 1:
                raise RefusedError(f"{value} tokens are no micro-batch")
            adjustments.max_micro_batch_tokens = value
            return Outcome(
                "applied", f"at most {value:,} tokens at once from now on; updates stay what they are"
            )
        case Rewarm(steps=steps):
            return Outcome("applied", adjust.rewarm(state, stage, steps), undo=Rewarm(0))
        case StretchSchedule(factor=factor):
            detail = adjust.stretch(state, stage, factor)
            return Outcome("applied", detail, undo=StretchSchedule(1 / factor))
        case ClipLayers(bounds=bounds):
            old = adjustments.layer_bounds
            return Outcome("applied", adjust.clip_layers(state, bounds), undo=ClipLayers(old))
        case SetEpsilon(value=value):
            was, detail = adjust.set_epsilon(state, value)
            return Outcome("applied", detail, undo=SetEpsilon(was))
        case Freeze(layers=layers):
            changed, detail = adjust.train_layers(state, stage, layers, trains=False)
            return Outcome("applied", detail, undo=Unfreeze(changed))
        case Unfreeze(layers=layers):
            changed, detail = adjust.train_layers(state, stage, layers, trains=True)
            return Outcome("applied", detail, undo=Freeze(changed))
        case NextStage():
            return Outcome("applied", adjust.next_stage(state, work.plan))
        case Reinitialize(layers=layers):
            return Outcome("applied", adjust.reinitialize(state, work, layers))
        case BalanceClasses():
            return Outcome("applied", adjust.balance_classes(state, work))
        case _:
            raise RefusedError(IMPOSSIBLE.get(type(action), "this loop can't do that"))


def _unscaled(factor: float) -> ScaleLearningRate:
    return ScaleLearningRate(1 / factor)


def _roll_back(action: Rollback, state: TrainState, work: Work, store: CommitStore) -> Outcome:
    left = state.progress.step
    if action.commit is None:
        # Those of later steps are of a course that was given up.
        commit = store.last_healthy(min(action.before, left + 1))
    else:
        commit = store.numbered(action.commit)
    if commit is None:
        at = f"before step {action.before}" if action.commit is None else f"of number {action.commit}"
        raise RefusedError(f"there is no healthy checkpoint {at}")
    factor = action.learning_rate_factor
    if not adjust.is_factor(factor):
        raise RefusedError(f"a learning rate can't be multiplied by {factor}")
    rate = adjust.rate(state, work.plan.stage_at(left))
    store.restore(commit)
    detail = f"step {left} → {commit.step}; the batches since are passed over"
    if factor != 1.0:
        adjust.scale_rate(state, work.plan.stage_at(commit.step), factor)
        detail += f"; learning rate × {factor:g} (was {rate:.3g})"
    rewound = Rewound(
        time=time.time(), step=left, to_step=commit.step, commit=commit.commit, reason="rollback"
    )
    return Outcome("applied", detail, rewound, undo=_unscaled(factor) if factor != 1.0 else None)

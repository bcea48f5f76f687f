"""The one place that carries out actions on a run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tunewell.actions import (
    Action,
    EvaluateNow,
    ExcludeRows,
    Rollback,
    SaveNow,
    ScaleLearningRate,
    SetLearningRate,
    SetMaxGradNorm,
    SetMicroBatchTokens,
    Stop,
)
from tunewell.records import Rewound
from tunewell.runs.checkpoints import Commit
from tunewell.training.plan import Plan
from tunewell.training.state import TrainState


@dataclass(frozen=True)
class Outcome:
    """What became of an action; `rewound` is the record that a rollback adds."""

    outcome: Literal["applied", "refused", "failed"]
    detail: str
    rewound: Rewound | None = None


@dataclass
class Wishes:
    """What actions ask of the run's next boundary between steps."""

    evaluate: bool = False
    save: bool = False
    stop: Stop | None = None
    stop_reason: str = field(default="")


class CommitStore(Protocol):
    """Where rollbacks find their commit."""

    def last_healthy(self, before: int) -> Commit | None:
        """Return the newest healthy commit of a step less than `before` that verifies, or None."""

    def restore(self, commit: Commit) -> None:
        """Load weights, optimizer and monitors of `commit`; cursor and adjustments stay."""


def apply(
    action: Action, state: TrainState, plan: Plan, store: CommitStore, wishes: Wishes, reason: str
) -> Outcome:
    """Carry out `action` and return what really changed."""
    match action:
        case ScaleLearningRate(factor=factor):
            return _scale(state, plan, factor)
        case SetLearningRate(value=value):
            now = _rate(state, plan)
            if now <= 0:
                return Outcome("refused", "the schedule's rate is 0 now: no factor can make it another")
            return _scale(state, plan, value / now)
        case SetMaxGradNorm(value=value):
            old, state.adjustments.max_grad_norm = state.adjustments.max_grad_norm, value
            return Outcome("applied", f"max_grad_norm {old} → {value}")
        case ExcludeRows(rows=rows):
            excluded = state.adjustments.excluded_rows
            excluded.extend(sorted(set(rows) - set(excluded)))
            return Outcome("applied", f"{len(rows)} rows left out from now on, {len(excluded)} in all")
        case SetMicroBatchTokens(value=value):
            if value < 1:
                return Outcome("refused", f"{value} tokens are no micro-batch")
            state.adjustments.max_micro_batch_tokens = value
            return Outcome(
                "applied", f"at most {value:,} tokens at once from now on; updates stay what they are"
            )
        case Rollback():
            return _roll_back(action, state, plan, store)
        case EvaluateNow():
            wishes.evaluate = True
            return Outcome("applied", "evaluation after this step")
        case SaveNow():
            wishes.save = True
            return Outcome("applied", "checkpoint after this step")
        case Stop():
            wishes.stop, wishes.stop_reason = action, reason
            return Outcome("applied", f"training ends after step {state.progress.step}")
        case _:
            return Outcome("refused", "this loop can't do that")


def _rate(state: TrainState, plan: Plan) -> float:
    """Return the largest rate of the coming update, as the schedule and the adjustments make it."""
    stage = plan.stage_at(state.progress.step)
    return stage.learning_rate * stage.rate_factor(state.progress.step) * state.adjustments.rate_factor


def _scale(state: TrainState, plan: Plan, factor: float) -> Outcome:
    if not 0 < factor < 1e6:
        return Outcome("refused", f"a learning rate can't be multiplied by {factor}")
    old = _rate(state, plan)
    state.adjustments.rate_factor *= factor
    return Outcome(
        "applied", f"learning rate {old:.3g} → {_rate(state, plan):.3g}, and so the rest of the schedule"
    )


def _roll_back(action: Rollback, state: TrainState, plan: Plan, store: CommitStore) -> Outcome:
    commit = store.last_healthy(action.before)
    if commit is None:
        return Outcome("refused", f"there is no healthy checkpoint before step {action.before}")
    left, rate = state.progress.step, _rate(state, plan)
    store.restore(commit)
    state.adjustments.rate_factor *= action.learning_rate_factor
    detail = f"step {left} → {commit.step}; the batches since are passed over"
    if action.learning_rate_factor != 1.0:
        detail += f"; learning rate × {action.learning_rate_factor:g} (was {rate:.3g})"
    rewound = Rewound(
        time=time.time(), step=left, to_step=commit.step, commit=commit.commit, reason="rollback"
    )
    return Outcome("applied", detail, rewound)

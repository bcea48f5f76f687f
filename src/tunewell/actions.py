"""Everything that may be done to a run: a closed union of values.

A policy, the recipe and a person ask for the same actions; `training.act.apply` is the one place that carries
them out.
"""

from __future__ import annotations

import msgspec


class _Action(msgspec.Struct, frozen=True, tag_field="do", omit_defaults=True):
    """What all actions share."""


class ScaleLearningRate(_Action, tag="scale_learning_rate", frozen=True):
    """Multiply the learning rate by `factor`, from now to the end, whatever the schedule says."""

    factor: float


class SetLearningRate(_Action, tag="set_learning_rate", frozen=True):
    """Make the present learning rate `value`; the schedule goes on from there in proportion."""

    value: float


class SetMaxGradNorm(_Action, tag="set_max_grad_norm", frozen=True):
    """Clip gradients at `value` from now on."""

    value: float


class Rollback(_Action, tag="rollback", frozen=True):
    """Load the last healthy commit before step `before`; the cursor stays, so the batches since are passed over.

    The learning rate is multiplied by `learning_rate_factor` in the same transaction.
    """

    before: int
    learning_rate_factor: float = 1.0


class ExcludeRows(_Action, tag="exclude_rows", frozen=True):
    """Never train on these rows again in this run."""

    rows: list[int]


class SetMicroBatchTokens(_Action, tag="set_micro_batch_tokens", frozen=True):
    """Send at most `value` tokens, padding included, through the model at once; an update stays what it is.

    What the run does by itself when memory runs out.
    """

    value: int


class EvaluateNow(_Action, tag="evaluate_now", frozen=True):
    """Evaluate on the validation split after this step."""


class SaveNow(_Action, tag="save_now", frozen=True):
    """Commit a checkpoint after this step."""


class Stop(_Action, tag="stop", frozen=True):
    """End training after this step; the best model is restored as at any end.

    `success` tells an early stop (nothing more to gain) from giving up on a sick run.
    """

    success: bool = True


Action = (
    ScaleLearningRate
    | SetLearningRate
    | SetMaxGradNorm
    | Rollback
    | ExcludeRows
    | SetMicroBatchTokens
    | EvaluateNow
    | SaveNow
    | Stop
)

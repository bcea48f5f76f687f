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
    """Clip gradients at `value` from now on; infinity: no more."""

    value: float


class Rollback(_Action, tag="rollback", frozen=True):
    """Load the last healthy commit before step `before`; the cursor stays, so the batches since are passed over.

    With `commit` that very one is loaded, whatever `before` says; it may be of a course that was given up. The learning rate is multiplied by `learning_rate_factor` in the same transaction. With `keeps_best` the run ends with
    the weights that evaluated best on validation rows, as a run of this project's own loop does anyway. Weights are drawn
    to 0 by `weight_decay` times the rate at each update from then on, beside what the optimizer does (other people's loops
    alone).
    """

    before: int = 0
    learning_rate_factor: float = 1.0
    keeps_best: bool = False
    weight_decay: float = 0.0
    commit: int | None = None
    """Number of a chosen commit (of a copy, in other people's loops)."""


class ExcludeRows(_Action, tag="exclude_rows", frozen=True):
    """Never train on these rows again in this run."""

    rows: list[int]


class IncludeRows(_Action, tag="include_rows", frozen=True):
    """Train on these rows again, which were excluded."""

    rows: list[int]


class SetMicroBatchTokens(_Action, tag="set_micro_batch_tokens", frozen=True):
    """Send at most `value` tokens, padding included, through the model at once; an update stays what it is.

    What the run does by itself when memory runs out.
    """

    value: int


class Rewarm(_Action, tag="rewarm", frozen=True):
    """Let the learning rate rise from a tenth of what it is to all of it over the coming `steps` updates."""

    steps: int


class StretchSchedule(_Action, tag="stretch_schedule", frozen=True):
    """Make the schedule run `factor` times slower than it does, from the run's beginning on."""

    factor: float


class ClipLayers(_Action, tag="clip_layers", frozen=True):
    """Clip each named layer's gradient at its own norm from now on (AdaGC), before the whole norm is clipped.

    In place of the bounds before; no bounds: layers are clipped no more.
    """

    bounds: dict[str, float]


class Freeze(_Action, tag="freeze", frozen=True):
    """Train these layers no more."""

    layers: list[str]


class Unfreeze(_Action, tag="unfreeze", frozen=True):
    """Let these layers train, in the optimizer too."""

    layers: list[str]


class NextStage(_Action, tag="next_stage", frozen=True):
    """End the present stage of the recipe and begin the next."""


class Reinitialize(_Action, tag="reinitialize", frozen=True):
    """Give these layers new weights of the usual size, and forget what the optimizer knows of them."""

    layers: list[str]


class SetEpsilon(_Action, tag="set_epsilon", frozen=True):
    """Set what an Adam-like optimizer adds to its denominator."""

    value: float


class ScaleLoss(_Action, tag="scale_loss", frozen=True):
    """Multiply the loss by `factor` before the backward pass and divide the gradients by it before the update.

    In place of the factor before; 1: as it was. With `layers` the gradients of these alone are multiplied, and not divided
    again: they are what is too small.
    """

    factor: float
    layers: list[str] = []


class ClearGradients(_Action, tag="clear_gradients", frozen=True):
    """Clear gradients after each update from now on."""


class DivideGradients(_Action, tag="divide_gradients", frozen=True):
    """Divide the gathered gradient by `divisor` before each update from now on; 0: by the backward passes made.

    In place of the divisor before; 1: as it was.
    """

    divisor: float = 0.0


class Optimize(_Action, tag="optimize", frozen=True):
    """Put these trainable parameters into the optimizer."""

    parameters: list[str]


class SetMode(_Action, tag="set_mode", frozen=True):
    """Hold the model in training mode where gradients are made, and in evaluation mode where they are not."""


class TakeLogarithm(_Action, tag="take_logarithm", frozen=True):
    """Give the loss the logarithm of outputs that are probabilities already, so that its softmax gives them back."""


class NormalizeInputs(_Action, tag="normalize_inputs", frozen=True):
    """Subtract `mean` from floating-point inputs and divide them by `std`, in training and evaluation alike."""

    mean: float
    std: float


class ShuffleRows(_Action, tag="shuffle_rows", frozen=True):
    """Draw rows in random order from now on."""


class BalanceClasses(_Action, tag="balance_classes", frozen=True):
    """Draw (or weight) rows so that each class counts alike from now on."""


class EvaluateNow(_Action, tag="evaluate_now", frozen=True):
    """Evaluate on the validation split after this step."""


class SaveNow(_Action, tag="save_now", frozen=True):
    """Commit a checkpoint after this step."""


class Pause(_Action, tag="pause", frozen=True):
    """Save a checkpoint and wait after this step, until `Resume`; other requests are answered meanwhile."""


class Resume(_Action, tag="resume", frozen=True):
    """Go on after a `Pause`."""


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
    | IncludeRows
    | SetMicroBatchTokens
    | Rewarm
    | StretchSchedule
    | ClipLayers
    | Freeze
    | Unfreeze
    | NextStage
    | Reinitialize
    | SetEpsilon
    | ScaleLoss
    | ClearGradients
    | DivideGradients
    | Optimize
    | SetMode
    | TakeLogarithm
    | NormalizeInputs
    | ShuffleRows
    | BalanceClasses
    | EvaluateNow
    | SaveNow
    | Pause
    | Resume
    | Stop
)

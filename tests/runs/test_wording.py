from __future__ import annotations

import math

import pytest

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
from tunewell.runs.wording import describe, intended

WORDS = [
    (ScaleLearningRate(0.5), "multiplied the learning rate by 0.5"),
    (SetLearningRate(2e-5), "set the learning rate to 2e-05"),
    (SetMaxGradNorm(0.5), "clipped gradients at norm 0.5 from then on"),
    (SetMaxGradNorm(math.inf), "clipped gradients no more"),
    (Rollback(1310), "rolled back to the last healthy checkpoint before step 1,310"),
    (Rollback(1), "rolled back to the start"),
    (Rollback(commit=7), "rolled back to checkpoint 7"),
    (Pause(), "paused training"),
    (Resume(), "resumed training"),
    (Rollback(100, 0.5), "rolled back to the last healthy checkpoint before step 100 and multiplied the learning rate by 0.5"),
    (ExcludeRows([4]), "excluded 1 row from training"),
    (IncludeRows([4, 5]), "trained on 2 rows again"),
    (SetMicroBatchTokens(512), "sent at most 512 tokens through the model at once"),
    (Rewarm(30), "let the learning rate rise anew over 30 updates"),
    (Rewarm(0), "stopped warming up"),
    (StretchSchedule(4.0), "let the schedule run 4 times slower"),
    (ClipLayers({"head": 1.0}), "clipped the gradients of 1 layer, each at its own norm"),
    (ClipLayers({}), "clipped layers no more"),
    (Freeze(["head"]), "froze head"),
    (Unfreeze(["layer.0", "head"]), "unfroze layer.0, head"),
    (NextStage(), "began the next stage"),
    (Reinitialize(["head"]), "drew new weights for head"),
    (SetEpsilon(1e-8), "set the optimizer's ε to 1e-08"),
    (ScaleLoss(4096.0), "scaled the loss by 4096 for the backward pass"),
    (ClearGradients(), "cleared gradients after each update"),
    (DivideGradients(), "divided gradients by the number of backward passes"),
    (DivideGradients(4.0), "divided gradients by 4"),
    (Optimize([f"w{i}" for i in range(7)]), "put w0, w1, w2, w3, w4 and 2 more into the optimizer"),
    (SetMode(), "held the model in training mode in training, and in evaluation mode in evaluation"),
    (TakeLogarithm(), "took the logarithm of outputs that are probabilities already"),
    (NormalizeInputs(1.0, 2.0), "normalised inputs by mean 1 and standard deviation 2"),
    (ShuffleRows(), "drew rows in random order"),
    (BalanceClasses(), "weighed rows so that each class counts alike"),
    (EvaluateNow(), "evaluated"),
    (SaveNow(), "saved a checkpoint"),
    (Stop(), "ended training"),
    (Stop(success=False), "gave the run up"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "words"), WORDS)
def test_what_was_done_in_words(action: Action, words: str) -> None:
    assert describe(action) == words


def test_every_action_has_words() -> None:
    assert {type(action) for action, _ in WORDS} == set(Action.__args__)


def test_what_is_to_be_done_in_words() -> None:
    assert intended(Rollback(9, 0.1)) == (
        "roll back to the last healthy checkpoint before step 9 and multiply the learning rate by 0.1"
    )

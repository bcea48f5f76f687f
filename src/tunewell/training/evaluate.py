"""Evaluation: a model over a split, in batches of like length, the outputs back in the split's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tunewell.data.cache import Encoded
from tunewell.tasks._protocol import Task


class EvaluationInterruptedError(Exception):
    """A signal came between two batches; nothing was changed."""


@dataclass(frozen=True)
class Outcome:
    """One evaluation: mean loss, metrics, and the (rows, classes) logits behind them."""

    loss: float
    metrics: dict[str, float]
    outputs: np.ndarray
    targets: np.ndarray


@torch.inference_mode()
def evaluate(
    task: Task,
    model: nn.Module,
    encoded: Encoded,
    batch_size: int,
    device: torch.device,
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Return how `model` does on `encoded`; the model is in evaluation mode meanwhile, and back in its own after.

    Raises `EvaluationInterruptedError` when `interrupted()` is true between two batches.
    """
    by_length = np.argsort(encoded.lengths, kind="stable")
    outputs: np.ndarray | None = None
    loss_sum = count = 0.0
    training = model.training
    model.eval()
    try:
        for start in range(0, len(by_length), batch_size):
            if interrupted():
                raise EvaluationInterruptedError
            rows = by_length[start : start + batch_size]
            batch = task.collate(encoded, rows).to(device)
            loss = task.loss(model, batch)
            loss_sum += float(loss.sum)
            count += float(batch.count)
            logits = loss.outputs.float().cpu().numpy()
            if outputs is None:
                outputs = np.empty((len(encoded), logits.shape[1]), dtype=np.float32)
            outputs[rows] = logits
    finally:
        model.train(training)
    assert outputs is not None, "a split is never empty"
    targets = np.asarray(encoded.targets)
    return Outcome(loss_sum / count, task.score(outputs, targets), outputs, targets)

"""Evaluation: a model over a split, in batches of like length; of a row's outputs only what its scores need is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tunewell.data.cache import Encoded
from tunewell.probes.modes import Modes
from tunewell.tasks._protocol import Task
from tunewell.training.memory import is_out_of_memory, release


class EvaluationInterruptedError(Exception):
    """Something came between two batches that can't wait, such as a signal; nothing was changed."""


@dataclass(frozen=True)
class Outcome:
    """One evaluation: mean loss, metrics, and what is known of each row, in the split's order."""

    loss: float
    metrics: dict[str, float]
    by_class: dict[str, dict[str, float]]
    """Precision, recall, F1 and rows by class name; empty where there are no classes."""
    targets: np.ndarray
    row_losses: np.ndarray
    """(rows,) float32, unweighted."""
    predicted: np.ndarray | None
    """(rows,) class indexes or numbers; None where a row may have several classes."""
    confidence: np.ndarray | None
    """(rows,) float32 probabilities of the predicted classes; None where there are none."""
    in_training: list[str]
    """Modules such as dropout that were in training mode meanwhile; none should be."""
    batch_size: int
    """Rows of the largest batch that memory allowed: what was asked for, or less."""


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

    A batch that memory does not allow is halved, and the evaluation goes on with halves; nothing done is done again.
    Raises `EvaluationInterruptedError` when `interrupted()` is true between two batches, and what the allocator
    raised when memory does not allow a single row.
    """
    # The longest first: what is too large shows at once, and freed memory has room for all that follows.
    by_length = np.argsort(-encoded.lengths, kind="stable")
    gathered = _Gathered(task, encoded)
    training = model.training
    model.eval()
    in_training = Modes(model).in_training()
    start = 0
    try:
        while start < len(by_length):
            if interrupted():
                raise EvaluationInterruptedError
            rows = by_length[start : start + batch_size]
            if gathered.fits(model, rows, device):
                start += len(rows)
            else:
                batch_size = len(rows) // 2
                release(device)
    finally:
        model.train(training)
    return gathered.outcome(batch_size, in_training)


class _Gathered:
    """What is known of the rows so far."""

    def __init__(self, task: Task, encoded: Encoded) -> None:
        self.task, self.encoded = task, encoded
        self.scorer = task.scorer(encoded)
        self.losses, self.weights = np.zeros((2, len(encoded)), dtype=np.float32)

    def fits(self, model: nn.Module, rows: np.ndarray, device: torch.device) -> bool:
        """Take in what `model` does on `rows`; return False when memory does not allow that, for more than one."""
        try:
            batch = self.task.collate(self.encoded, rows).to(device)
            loss = self.task.loss(model, batch)
            losses, weights, outputs = (
                tensor.float().cpu().numpy() for tensor in (loss.per_row, batch.weights, loss.outputs)
            )
        except (RuntimeError, MemoryError) as error:
            if len(rows) == 1 or not is_out_of_memory(error):
                raise
            return False
        self.losses[rows], self.weights[rows] = losses, weights
        self.scorer.add(rows, outputs)
        return True

    def outcome(self, batch_size: int, in_training: list[str]) -> Outcome:
        # Summed in the split's order: the batches they came in make no difference.
        weights = self.weights.astype(np.float64)
        return Outcome(
            loss=float((self.losses * weights).sum() / weights.sum()),
            metrics=self.scorer.metrics(),
            by_class=self.scorer.by_class(),
            targets=np.asarray(self.encoded.targets),
            row_losses=self.losses,
            predicted=self.scorer.predicted,
            confidence=self.scorer.confidence,
            in_training=in_training,
            batch_size=batch_size,
        )

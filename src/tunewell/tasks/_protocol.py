"""What every task offers to the training loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from tunewell.data.cache import Encoded, EncodedRow
from tunewell.data.example import Example


@dataclass(frozen=True)
class Batch:
    """One micro-batch: `inputs` are the model's keyword arguments, each (batch, length)."""

    inputs: dict[str, Tensor]
    targets: Tensor
    """(batch,) class indexes or numbers, or (batch, classes) in several-labels problems."""
    weights: Tensor
    """(batch,) what each row counts in the loss: 1 unless classes are weighted."""
    num_tokens: int
    """Tokens that are not padding."""

    @property
    def count(self) -> Tensor:
        """0-d: the rows, weighted; what the loss's sum is divided by."""
        return self.weights.sum()

    def to(self, device: Any) -> Batch:
        """Return this batch on `device`."""
        inputs = {key: tensor.to(device, non_blocking=True) for key, tensor in self.inputs.items()}
        targets, weights = (tensor.to(device, non_blocking=True) for tensor in (self.targets, self.weights))
        return Batch(inputs, targets, weights, self.num_tokens)


@dataclass(frozen=True)
class LossSum:
    """A loss before division: the mean is `sum` / `Batch.count`, divided once over a whole update.

    So accumulation, padding and the number of processes can't change it.
    """

    sum: Tensor
    """0-d, differentiable: of `per_row` times `Batch.weights`."""
    per_row: Tensor
    """(batch,) detached losses of the single rows, unweighted."""
    outputs: Tensor
    """(batch, classes) detached logits."""


class Scorer(Protocol):
    """The scores of one split, gathered batch by batch; no (rows, classes) array is kept."""

    @property
    def predicted(self) -> np.ndarray | None:
        """(rows,) predicted class indexes or numbers; None where a row may have several classes."""

    @property
    def confidence(self) -> np.ndarray | None:
        """(rows,) float32 probabilities of the predicted classes; None where there are none."""

    def add(self, indexes: np.ndarray, outputs: np.ndarray) -> None:
        """Take (batch, classes) logits of the rows at `indexes`, (batch,), of the split; each row comes once."""

    def metrics(self) -> dict[str, float]:
        """Return the metrics once every row came; not a number where one is undefined."""

    def by_class(self) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1 and rows of every class by name; empty where there are no classes."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one input."""

    label: str | list[str] | None
    """The class, the classes (several-labels), or None (regression)."""
    score: float
    """Probability of the class, or the predicted number."""
    probabilities: dict[str, float]
    """By class name; empty for regression."""


class Task(Protocol):
    """A task for one recipe and its data. `model` is built in fp32 on the CPU."""

    main_metric: str
    """What the best model is chosen by unless the recipe says otherwise."""

    metrics: tuple[str, ...]
    """Names of all that `Scorer.metrics` returns."""
    new_parameters: list[str]
    """Names of the parameters that the checkpoint did not hold; known once the model is built."""
    max_length: int
    """Longest input in tokens."""
    vocabulary_size: int | None
    """Token ids that the model embeds, known before its weights are loaded; None: not said."""
    tokenizer: Any
    """What is saved beside the model."""

    def build(self) -> nn.Module:
        """Return the pre-trained model with its new head; the seed decides the new weights."""

    def encoding_key(self) -> dict[str, Any]:
        """Return all that decides the encoding besides the rows: it names the cache."""

    def encode(self, examples: Sequence[Example]) -> list[EncodedRow]:
        """Return token ids for each example, truncated as the recipe says."""

    def collate(self, encoded: Encoded, indexes: np.ndarray) -> Batch:
        """Return the padded batch of rows `indexes`."""

    def loss(self, model: nn.Module, batch: Batch) -> LossSum:
        """Return the training loss of `batch`."""

    def scorer(self, encoded: Encoded) -> Scorer:
        """Return what gathers the scores of the rows of `encoded`."""

    def settings(self) -> dict[str, Any]:
        """Return what prediction must know besides the model."""

"""Text classification and sentiment: one label, several labels, or a number; one text or a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from tunewell.data.cache import Encoded, EncodedRow
from tunewell.data.example import Example
from tunewell.data.prepare import Dataset
from tunewell.models.load import (
    embedding_rows,
    load_config,
    load_model,
    load_tokenizer,
    position_rows,
)
from tunewell.models.source import Source, find
from tunewell.problems import Problem, RecipeError
from tunewell.recipe import Recipe
from tunewell.tasks import _scores
from tunewell.tasks._protocol import Batch, LossSum, Scorer
from tunewell.tasks._text import TextEncoder, collate_text
from tunewell.tasks._text_predictor import TextPredictor


class TextClassification:
    """A sequence classifier for one recipe and its data.

    `problem` is ``single_label`` (cross-entropy), ``multi_label`` (binary cross-entropy, mean over classes) or
    ``regression`` (squared error).
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, device: str = "cpu") -> None:
        self.recipe, self.problem, self.labels, self.device = recipe, dataset.problem, dataset.labels, device
        self.source: Source = find(recipe.model, recipe.revision)
        self.tokenizer = load_tokenizer(self.source)
        config = load_config(self.source)
        self.vocabulary_size = embedding_rows(config)
        self.max_length = self._max_length(position_rows(config), dataset)
        self.encoder = TextEncoder(self.tokenizer, self.max_length, recipe.data.truncation)
        self.main_metric = _scores.MAIN_METRIC[self.problem]
        self.metrics = _scores.METRICS[self.problem]
        self.new_parameters: list[str] = []
        self.class_weights = self._class_weights(dataset)

    def build(self) -> nn.Module:
        """Return the pre-trained encoder with a new head, fp32, on the CPU."""
        names = self.labels or ["value"]
        loaded = load_model(
            AutoModelForSequenceClassification,
            self.source,
            seed=self.recipe.seed,
            dropout=self.recipe.dropout,
            device=self.device,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: i for i, name in enumerate(names)},
            problem_type=self.problem if self.problem == "regression" else f"{self.problem}_classification",
            pad_token_id=self.encoder.pad_id,
        )
        self.new_parameters = loaded.new_parameters
        return loaded.model

    def encoding_key(self) -> dict[str, Any]:
        """Return all that decides the token ids besides the texts: it names the cache."""
        return {
            "tokenizer": self.tokenizer.backend_tokenizer.to_str(),
            "max_length": self.encoder.max_length,
            "truncation": self.encoder.truncation,
            "type_ids": self.encoder.has_type_ids,
            "problem": self.problem,
            "num_classes": len(self.labels),
        }

    def encode(self, examples: Sequence[Example]) -> list[EncodedRow]:
        """Return token ids and targets of each example."""
        coded = self.encoder(
            [e.text for e in examples], [e.text_pair for e in examples], [e.place for e in examples]
        )
        return [
            EncodedRow(ids=ids, type_ids=types, target=example.target, truncated=cut)
            for (ids, types, cut), example in zip(coded, examples, strict=True)
        ]

    def collate(self, encoded: Encoded, indexes: np.ndarray) -> Batch:
        """Return rows `indexes`, padded to the longest of them."""
        inputs = collate_text(encoded, indexes, self.encoder.pad_id, self.encoder.has_type_ids)
        targets = torch.from_numpy(np.array(encoded.targets[indexes]))
        return Batch(inputs, targets, self._row_weights(targets), int(encoded.lengths[indexes].sum()))

    def loss(self, model: nn.Module, batch: Batch) -> LossSum:
        """Return the loss of `batch` as sum and count; logits are taken to fp32 first."""
        logits: Tensor = model(**batch.inputs).logits.float()
        if self.problem == "single_label":
            per_row = F.cross_entropy(
                logits, batch.targets, reduction="none", label_smoothing=self.recipe.label_smoothing
            )
        elif self.problem == "multi_label":
            smoothing = self.recipe.label_smoothing
            targets = batch.targets * (1 - smoothing) + smoothing / 2
            per_class = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            if self.class_weights is not None:
                per_class = per_class * self.class_weights.to(logits.device)
            per_row = per_class.mean(dim=1)
        else:
            per_row = (logits.squeeze(-1) - batch.targets).square()
        return LossSum((per_row * batch.weights).sum(), per_row.detach(), logits.detach())

    @staticmethod
    def predictor(folder: Path, *, device: str, dtype: torch.dtype) -> TextPredictor:
        """Return the predictor of a result that this task wrote."""
        return TextPredictor(folder, device=device, dtype=dtype)

    def scorer(self, encoded: Encoded) -> Scorer:
        """Return what gathers accuracy, macro F1 and MCC; or correlations and the mean squared error."""
        return _scores.scorer(self.problem, self.labels, encoded.targets)

    def settings(self) -> dict[str, Any]:
        """Return what prediction must know besides the model: stored beside the result as `tunewell.json`."""
        return {
            "task": "text_classification",
            "problem": self.problem,
            "labels": self.labels,
            "max_length": self.encoder.max_length,
            "truncation": "head" if self.encoder.truncation == "refuse" else self.encoder.truncation,
            "clean": list(self.recipe.data.clean),
        }

    def _row_weights(self, targets: Tensor) -> Tensor:
        if self.problem == "single_label" and self.class_weights is not None:
            return self.class_weights[targets]
        return torch.ones(len(targets))

    def _max_length(self, positions: int | None, dataset: Dataset) -> int:
        """Return the length to cut at; refuse one that the recipe gives and the model's `positions` can't hold."""
        wanted = self.recipe.data.max_length
        if positions is None or wanted <= positions:
            return wanted
        if "max_length" not in self.recipe.data.model_fields_set:
            return positions
        encoder = TextEncoder(self.tokenizer, positions, "head")
        rows = [row for examples in dataset.splits.values() for row in examples]
        too_long = sum(encoder.count_longer(rows[i : i + 1024]) for i in range(0, len(rows), 1024))
        counted = f"{too_long:,} of {len(rows):,} texts are longer" if too_long else "no text is longer"
        raise RecipeError(
            Problem(
                "recipe",
                f"max_length {wanted} is more than the {positions} positions of `{self.recipe.model}`; {counted}",
                field="data.max_length",
                fix=f"set data.max_length to {positions}; longer texts are then cut as data.truncation says"
                " (head, tail, head_tail) or refused (refuse)",
            )
        )

    def _class_weights(self, dataset: Dataset) -> Tensor | None:
        asked = self.recipe.class_weights
        if asked is None or self.problem == "regression":
            return None
        if isinstance(asked, Mapping):
            unknown = sorted(set(asked) - set(self.labels))
            if unknown:
                raise RecipeError(
                    Problem(
                        "recipe",
                        f"class_weights names unknown labels: {', '.join(unknown)}",
                        field="class_weights",
                        fix=f"the labels are: {', '.join(self.labels)}",
                    )
                )
            return torch.tensor([float(asked.get(name, 1.0)) for name in self.labels])
        counts = np.zeros(len(self.labels))
        for example in dataset.splits["train"]:
            np.add.at(counts, np.atleast_1d(np.asarray(example.target, dtype=np.int64)), 1)
        return torch.tensor(counts.sum() / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)

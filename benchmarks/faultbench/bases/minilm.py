"""MiniLM on movie reviews: the new head alone first, then all of the encoder; AdamW."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import accuracy, cross_entropy
from benchmarks.faultbench.training import Rows, Training

DATA = Path(__file__).parents[3] / "examples" / "data"
TOKENS, FROZEN = 24, 40
"""Tokens of a snippet at most; updates of the head alone."""


class Net(nn.Module):
    """The encoder, the mean over its tokens, dropout, a ReLU layer, head."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel

        from tunewell.models.packaged.minilm import minilm

        self.encoder = AutoModel.from_pretrained(minilm(), add_pooling_layer=False)
        width = self.encoder.config.hidden_size
        self.hidden, self.act, self.dropout = nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1)
        self.head = nn.Linear(width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (rows, 2) for token ids (rows, tokens); 0 fills up."""
        mask = (tokens != 0).long()
        states = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.head(self.dropout(self.act(self.hidden(mean))))


@cache
def reviews(name: str, count: int, first: int = 0) -> Rows:
    """Return `count` snippets of a file from row `first` on: token ids (rows, tokens), 1 for a good review."""
    from transformers import AutoTokenizer

    from tunewell.models.packaged.minilm import minilm

    with (DATA / f"movie_reviews_{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[first : first + count]
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    texts = [row["text"] for row in rows]
    ids = tokenizer(
        texts, truncation=True, max_length=TOKENS, padding="max_length", return_tensors="pt"
    ).input_ids
    return Rows(ids, torch.tensor([int(row["label"] == "positive") for row in rows]))


def build(seed: int) -> Training:
    """Return the run before its first update."""
    torch.manual_seed(seed)
    model = Net()
    model.encoder.requires_grad_(False)
    train = reviews("train", 960)
    training = Training(
        model=model, train=train, validation=reviews("train", 240, first=960), test=reviews("test", 400),
        criterion=cross_entropy, score=accuracy, metric="accuracy", num_classes=2, steps=200, batch_size=8, rate=1e-4,
        optimizer_kind="adamw", weight_decay=0.01, warmup=20, max_grad_norm=1.0, evaluate_every=20, head="head",
        first_block="encoder.encoder.layer.0", middle="encoder.encoder.layer.3", biases=("hidden.bias",),
        easiness=-(train.inputs != 0).sum(1).float(), seed=seed,
    )  # fmt: skip

    def unfreeze(step: int) -> None:
        if step == FROZEN + 1:
            model.encoder.requires_grad_(True)

    training.before_step.append(unfreeze)
    return training


BASE = Base(
    scored=True,
    apart=True,
    build=build,
    about="MiniLM (22.7M parameters) on 960 movie snippets: its new head alone for 40 updates, then all; AdamW 1e-4",
    without={
        "no_warmup": "this model needs none",
        "truncated_targets": "targets are classes",
        "inputs_not_normalized": "inputs are tokens",
        "forgetting": "two classes",
        "adapters": "a variant of its own base",
        "early_convergence": "two classes already",
        "batches_of_two": "too slow here",
    },
    seeds=1,
)

"""Tuning base: a perceptron with batch norm and dropout on made-up tables, AdamW."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import accuracy, cross_entropy, split
from benchmarks.faultbench.training import Training

FEATURES, CLASSES = 24, 6


class Net(nn.Module):
    """Three layers; only the second is normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 96)
        self.act1 = nn.ReLU()
        self.second = nn.Linear(96, 96)
        self.norm = nn.BatchNorm1d(96)
        self.act2 = nn.ReLU()
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(96, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (rows, classes) for (rows, features)."""
        x = self.act1(self.first(x))
        return self.head(self.dropout(self.act2(self.norm(self.second(x)))))


def build(seed: int) -> Training:
    """Return the run before its first update."""
    from sklearn.datasets import make_classification

    inputs, targets = make_classification(
        2400,
        FEATURES,
        n_informative=12,
        n_redundant=4,
        n_classes=CLASSES,
        class_sep=1.6,
        flip_y=0.01,
        random_state=0,
    )
    inputs = ((inputs - inputs.mean(0)) / inputs.std(0)).astype("float32")
    train, validation, test = split(inputs, targets, (1200, 400, 800), seed=0)
    torch.manual_seed(seed)
    return Training(
        model=Net(), train=train, validation=validation, test=test, criterion=cross_entropy, score=accuracy,
        metric="accuracy", num_classes=CLASSES, steps=300, batch_size=32, rate=3e-3, optimizer_kind="adamw",
        weight_decay=0.01, warmup=10, head="head", first_block="first", middle="second",
        biases=("first.bias", "norm.bias"), seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=False,
    build=build,
    about="a perceptron with batch norm and dropout on `make_classification`, six classes; AdamW 3e-3",
    without={
        "truncated_targets": "targets are classes",
        "no_warmup": "this model needs none",
        "batches_of_two": "batch norm of two rows is a fault of its own",
        "adapters": "nothing pre-trained",
        "curriculum": "no order of ease",
    },
)

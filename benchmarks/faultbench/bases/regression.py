"""Tuning base: a plain ReLU network that predicts a number, SGD with momentum, no norm, no clipping."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import explained, split, squared_error
from benchmarks.faultbench.training import Training

FEATURES = 10


class Net(nn.Module):
    """Four layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 64)
        self.second = nn.Linear(64, 64)
        self.third = nn.Linear(64, 64)
        self.act1, self.act2, self.act3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a number for each row of (rows, features)."""
        x = self.act2(self.second(self.act1(self.first(x))))
        return self.head(self.dropout(self.act3(self.third(x)))).squeeze(-1)


def build(seed: int) -> Training:
    """Return the run before its first update."""
    from sklearn.datasets import make_friedman1

    inputs, targets = make_friedman1(2200, FEATURES, noise=0.7, random_state=0)
    inputs = ((inputs - 0.5) * 3.46).astype("float32")
    targets = ((targets - targets.mean()) / targets.std()).astype("float32")
    train, validation, test = split(inputs, targets, (1200, 400, 600), seed=0)
    torch.manual_seed(seed)
    return Training(
        model=Net(), train=train, validation=validation, test=test, criterion=squared_error, score=explained,
        metric="r2", steps=300, batch_size=32, rate=0.02, optimizer_kind="sgd", warmup=10, head="head",
        first_block="first", middle="second", biases=("second.bias",), seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=False,
    build=build,
    about="a plain ReLU network on `make_friedman1`, a regression; SGD 0.02 with momentum",
    without={
        "truncated_targets": "targets are numbers",
        "no_warmup": "this model needs none",
        "epsilon_too_large": "SGD has no ε",
        "double_softmax": "no softmax",
        "class_imbalance": "no classes",
        "sorted_data": "no classes",
        "forgetting": "no classes",
        "label_smoothing": "no classes",
        "adapters": "nothing pre-trained",
        "curriculum": "no order of ease",
    },
)

"""Tuning base: a recurrent network that answers prompts of letters, Adam with clipping."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import IGNORED, token_accuracy, token_cross_entropy
from benchmarks.faultbench.training import Rows, Training

LETTERS, LONGEST = 12, 6
PAD, ASK, END = LETTERS, LETTERS + 1, LETTERS + 2
VOCABULARY = LETTERS + 3
NOISE = 3
"""Letters that mean nothing; they make each prompt another one."""
ASKED = NOISE + 4
"""Where the answer begins."""


class Net(nn.Module):
    """Embedding, two recurrent layers, a ReLU layer, head over the letters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 48)
        self.recurrent = nn.GRU(48, 96, num_layers=2, batch_first=True, dropout=0.1)
        self.hidden = nn.Linear(96, 96)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(96, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (rows, tokens, vocabulary) for letters (rows, tokens)."""
        states, _ = self.recurrent(self.embedding(tokens))
        return self.head(self.dropout(self.act(self.hidden(states))))


def answers(count: int, seed: int) -> Rows:
    """Return prompts of a letter, a step and a length, answered by counting on from that letter."""
    draw = torch.Generator().manual_seed(seed)
    first = torch.randint(LETTERS, (count,), generator=draw)
    step = torch.randint(1, 4, (count,), generator=draw)
    lengths = torch.randint(2, LONGEST + 1, (count,), generator=draw)
    tokens = torch.full((count, NOISE + LONGEST + 5), PAD)
    tokens[:, :NOISE] = torch.randint(LETTERS, (count, NOISE), generator=draw)
    tokens[:, NOISE:ASKED] = torch.stack([first, step, lengths, torch.full_like(first, ASK)], 1)
    for row, length in enumerate(lengths.tolist()):
        counted = (first[row] + step[row] * torch.arange(1, length + 1)) % LETTERS
        tokens[row, ASKED : ASKED + length] = counted
        tokens[row, ASKED + length] = END
    inputs, targets = tokens[:, :-1], tokens[:, 1:].clone()
    targets[:, : ASKED - 1] = IGNORED
    targets[targets == PAD] = IGNORED
    return Rows(inputs.contiguous(), targets)


def build(seed: int) -> Training:
    """Return the run before its first update."""
    torch.manual_seed(seed)
    return Training(
        model=Net(), train=answers(1600, seed=1), validation=answers(300, seed=2), test=answers(600, seed=3),
        criterion=token_cross_entropy, score=token_accuracy, metric="token_accuracy", steps=300, batch_size=32,
        rate=5e-3, optimizer_kind="adam", warmup=10, max_grad_norm=1.0, head="head", first_block="embedding",
        middle="hidden", biases=("hidden.bias",), seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=False,
    build=build,
    about="a two-layer GRU that counts letters on, prompt and answer; Adam 5e-3, clipping",
    without={
        "no_warmup": "this model needs none",
        "inputs_not_normalized": "inputs are tokens",
        "class_imbalance": "no classes",
        "sorted_data": "no classes",
        "forgetting": "no classes",
        "adapters": "nothing pre-trained",
        "curriculum": "no order of ease",
    },
)

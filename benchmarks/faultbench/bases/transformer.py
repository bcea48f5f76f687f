"""A transformer trained from nothing: translate each of 3 to 8 words by a table, the last word first."""

from __future__ import annotations

import torch

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import (
    IGNORED,
    Decoder,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faultbench.training import Rows, Training

WORDS, LONGEST = 24, 8
PAD, ASK, END = WORDS, WORDS + 1, WORDS + 2
VOCABULARY = WORDS + 3


def translations(count: int, seed: int, table_seed: int = 0, noise: float = 0.0) -> Rows:
    """Return `count` rows of tokens (prompt, ``ASK``, answer, ``END``) and their targets, one token ahead.

    Prompts end at one place, so the answer begins at one; inputs and targets are (count, 17). `noise` is the share of
    answer words that are any word: no model can tell them.
    """
    draw = torch.Generator().manual_seed(seed)
    table = torch.randperm(WORDS, generator=torch.Generator().manual_seed(table_seed))
    lengths = torch.randint(3, LONGEST + 1, (count,), generator=draw)
    words = torch.randint(WORDS, (count, LONGEST), generator=draw)
    answers = table[words]
    random_words = torch.randint(WORDS, answers.shape, generator=draw)
    answers = torch.where(torch.rand(answers.shape, generator=draw) < noise, random_words, answers)
    tokens = torch.full((count, 2 * LONGEST + 2), PAD)
    for row, length in enumerate(lengths.tolist()):
        tokens[row, LONGEST - length : LONGEST] = words[row, :length].flip(0)
        tokens[row, LONGEST] = ASK
        tokens[row, LONGEST + 1 : LONGEST + 1 + length] = answers[row, :length]
        tokens[row, LONGEST + 1 + length] = END
    inputs, targets = tokens[:, :-1], tokens[:, 1:].clone()
    targets[:, :LONGEST] = IGNORED
    targets[targets == PAD] = IGNORED
    return Rows(inputs.contiguous(), targets)


def build(seed: int) -> Training:
    """Return the run before its first update."""
    torch.manual_seed(seed)
    return Training(
        model=Decoder(VOCABULARY, 2 * LONGEST + 1, width=64, blocks=2, dropout=0.1),
        train=translations(2048, seed=1), validation=translations(300, seed=2), test=translations(600, seed=3),
        criterion=token_cross_entropy, score=token_accuracy, metric="token_accuracy", steps=400, batch_size=32,
        rate=4e-3, optimizer_kind="adamw", weight_decay=0.01, warmup=40, max_grad_norm=1.0, head="head",
        first_block="blocks.0", middle="blocks.1", biases=("blocks.0.up.bias", "blocks.1.up.bias"), seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=True,
    build=build,
    about="a decoder of two post-norm blocks from scratch: prompts of 3 to 8 words, answers word by word; AdamW, warm-up, cosine, clipping",
    without={},
)

"""A transformer trained from nothing: translate each of 3 to 8 words by a table, the last word first."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.faultbench.bases import Base, _parts
from benchmarks.faultbench.bases._parts import (
    IGNORED,
    Decoder,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faultbench.loop import Unwatched, train
from benchmarks.faultbench.store import cached
from benchmarks.faultbench.training import Rows, Training

WORDS, LONGEST = 24, 8
PAD, ASK, END = WORDS, WORDS + 1, WORDS + 2
VOCABULARY = WORDS + 3
TOKENS = 2 * LONGEST + 1


def translations(count: int, seed: int, table_seed: int = 0) -> Rows:
    """Return `count` rows of tokens (prompt, ``ASK``, answer, ``END``) and their targets, one token ahead.

    Prompts end at one place, so the answer begins at one; inputs and targets are (count, 17).
    """
    draw = torch.Generator().manual_seed(seed)
    table = torch.randperm(WORDS, generator=torch.Generator().manual_seed(table_seed))
    lengths = torch.randint(3, LONGEST + 1, (count,), generator=draw)
    words = torch.randint(WORDS, (count, LONGEST), generator=draw)
    answers = table[words]
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


def pretrained() -> Decoder:
    """Return a decoder that translates; trained once for each machine."""
    decoder = Decoder(VOCABULARY, TOKENS, width=64, blocks=4, dropout=0.1)

    def make() -> dict[str, Tensor]:
        run = build(seed=100)
        run.train = translations(2048, seed=101)
        optimizer = run.build_optimizer()
        train(run, optimizer, run.build_schedule(optimizer), Unwatched())
        return run.model.state_dict()

    decoder.load_state_dict(cached("decoder", [__file__, str(_parts.__file__)], make))
    return decoder


def adapted(training: Training) -> None:
    """Train adapters of the pre-trained decoder on another table of translations."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=8, lora_alpha=16, target_modules=["mixed", "joined", "up", "down"], modules_to_save=["head"]
    )
    training.model = get_peft_model(pretrained(), config)  # type: ignore[arg-type]
    training.train, training.validation, training.test = (
        translations(rows.count, seed=10 + place, table_seed=1)
        for place, rows in enumerate([training.train, training.validation, training.test])
    )


def build(seed: int) -> Training:
    """Return the run before its first update."""
    torch.manual_seed(seed)
    rows = translations(2048, seed=1)
    return Training(
        model=Decoder(VOCABULARY, TOKENS, width=64, blocks=4, dropout=0.1), train=rows,
        validation=translations(300, seed=2), test=translations(600, seed=3), criterion=token_cross_entropy,
        score=token_accuracy, metric="token_accuracy", steps=240, batch_size=32, rate=1e-2, optimizer_kind="adamw",
        weight_decay=0.01, warmup=40, max_grad_norm=1.0, head="head", first_block="blocks.0", middle="blocks.1",
        biases=("blocks.0.up.bias", "blocks.1.up.bias"), easiness=-(rows.targets != IGNORED).sum(1).float(),
        adapted=adapted, seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=True,
    build=build,
    about="a decoder of four post-norm blocks from scratch: prompts of 3 to 8 words, answers word by word; AdamW 0.01, "
    "warm-up, cosine, clipping",
    without={
        "inputs_not_normalized": "inputs are tokens",
        "class_imbalance": "no classes",
        "sorted_data": "no classes",
        "forgetting": "no classes",
    },
)

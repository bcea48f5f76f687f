"""Adapters on the pre-trained transformer: from translating to telling topics, with a new head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import Decoder, accuracy, cross_entropy
from benchmarks.faultbench.bases.transformer import TOKENS, WORDS, pretrained
from benchmarks.faultbench.training import Rows, Training

TOPICS = 6


class TopicModel(nn.Module):
    """The decoder without its own head: the mean over the tokens goes to a new one."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder
        self.decoder.head = nn.Identity()  # type: ignore[assignment]
        self.head = nn.Linear(decoder.position.shape[1], TOPICS)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (rows, topics) for token ids (rows, tokens)."""
        return self.head(self.decoder.features(tokens).mean(1))


def topics(count: int, seed: int) -> tuple[Rows, Tensor]:
    """Return `count` rows of 16 words, two in five of them from the four words of the row's topic; and how many are."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(TOPICS, (count,), generator=draw)
    any_word = torch.randint(WORDS, (count, TOKENS - 1), generator=draw)
    own = labels[:, None] * (WORDS // TOPICS) + torch.randint(WORDS // TOPICS, any_word.shape, generator=draw)
    is_own = torch.rand(any_word.shape, generator=draw) < 0.4
    return Rows(torch.where(is_own, own, any_word), labels), is_own.sum(1)


def build(seed: int) -> Training:
    """Return the run before its first update."""
    from peft import LoraConfig, get_peft_model

    decoder = pretrained()
    torch.manual_seed(seed)
    config = LoraConfig(
        r=8, lora_alpha=16, target_modules=["mixed", "joined", "up", "down"], modules_to_save=["head"]
    )
    model = get_peft_model(TopicModel(decoder), config)  # type: ignore[arg-type]
    train, easiness = topics(1500, seed=1)
    inside = "base_model.model.decoder.blocks"
    return Training(
        model=model, train=train, validation=topics(400, seed=2)[0], test=topics(800, seed=3)[0],
        criterion=cross_entropy, score=accuracy, metric="accuracy", num_classes=TOPICS, steps=300, batch_size=32,
        rate=3e-3, optimizer_kind="adamw", weight_decay=0.01, warmup=15, max_grad_norm=1.0,
        head="base_model.model.head.modules_to_save.default", first_block=f"{inside}.0", middle=f"{inside}.1",
        biases=(f"{inside}.0.up.base_layer.bias", f"{inside}.1.up.base_layer.bias"), easiness=easiness,
        adapted=lambda training: None, seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=True,
    build=build,
    about="rank-8 adapters (peft) and a new head on that decoder, from translating to telling six topics; AdamW 3e-3",
    without={
        "truncated_targets": "targets are classes",
        "inputs_not_normalized": "inputs are tokens",
        "no_warmup": "this model needs none",
    },
)

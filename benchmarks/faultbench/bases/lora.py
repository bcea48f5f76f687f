"""Adapters on the pre-trained transformer: from translating to telling topics, with a new head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.faultbench.bases import Base
from benchmarks.faultbench.bases._parts import Decoder, accuracy, cross_entropy
from benchmarks.faultbench.bases.transformer import LONGEST, VOCABULARY, WORDS, translations
from benchmarks.faultbench.bases.transformer import build as build_pretraining
from benchmarks.faultbench.loop import Unwatched, train
from benchmarks.faultbench.store import cached
from benchmarks.faultbench.training import Rows, Training

TOPICS = 6
TOKENS = 2 * LONGEST + 1


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


def topics(count: int, seed: int) -> Rows:
    """Return `count` rows of 16 words, two in five of them from the four words of the row's topic."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(TOPICS, (count,), generator=draw)
    any_word = torch.randint(WORDS, (count, TOKENS - 1), generator=draw)
    own = labels[:, None] * (WORDS // TOPICS) + torch.randint(WORDS // TOPICS, any_word.shape, generator=draw)
    words = torch.where(torch.rand(any_word.shape, generator=draw) < 0.4, own, any_word)
    return Rows(words, labels)


def pretrained() -> dict[str, Tensor]:
    """Return the weights of a decoder that translates; made once for each machine."""

    def make() -> dict[str, Tensor]:
        run = build_pretraining(seed=100)
        run.train = translations(2048, seed=101)
        optimizer = run.build_optimizer()
        train(run, optimizer, run.build_schedule(optimizer), Unwatched())
        return run.model.state_dict()

    return cached("decoder", make)


def build(seed: int) -> Training:
    """Return the run before its first update."""
    from peft import LoraConfig, get_peft_model

    decoder = Decoder(VOCABULARY, TOKENS, width=64, blocks=2, dropout=0.1)
    decoder.load_state_dict(pretrained())
    torch.manual_seed(seed)
    config = LoraConfig(
        r=8, lora_alpha=16, target_modules=["mixed", "joined", "up", "down"], modules_to_save=["head"]
    )
    model = get_peft_model(TopicModel(decoder), config)  # type: ignore[arg-type]
    inside = "base_model.model.decoder.blocks"
    return Training(
        model=model, train=topics(1500, seed=1), validation=topics(400, seed=2), test=topics(800, seed=3),
        criterion=cross_entropy, score=accuracy, metric="accuracy", num_classes=TOPICS, steps=300, batch_size=32,
        rate=3e-3, optimizer_kind="adamw", weight_decay=0.01, warmup=15, max_grad_norm=1.0,
        head="base_model.model.head.modules_to_save.default", first_block=f"{inside}.0", middle=f"{inside}.1",
        biases=(f"{inside}.0.up.base_layer.bias", f"{inside}.1.up.base_layer.bias"), seed=seed,
    )  # fmt: skip


BASE = Base(
    scored=True,
    build=build,
    about="rank-8 adapters (peft) and a new head on that decoder, from translating to telling six topics; AdamW 3e-3",
    without={
        "truncated_targets": "targets are classes",
        "no_warmup": "this model needs none",
    },
)

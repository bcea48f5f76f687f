"""What many tests share: a tiny model and tiny data, both real, made here."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOOD = ["lovely", "superb", "moving", "warm", "clever", "rich"]
BAD = ["dull", "clumsy", "tired", "empty", "noisy", "stale"]
PLAIN = ["the", "film", "plot", "actors", "music", "scene", "with", "and", "its", "story", "ending", "camera"]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Keep the cache of encoded rows out of the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TUNEWELL_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield
    patch.undo()


def sentence(rng: random.Random, positive: bool, length: int | None = None) -> str:
    """Return plain words with one or two that tell the label."""
    words = rng.choices(PLAIN, k=length or rng.randint(3, 14))
    for _ in range(rng.randint(1, 2)):
        words.insert(rng.randrange(len(words)), rng.choice(GOOD if positive else BAD))
    return " ".join(words)


@pytest.fixture
def write_reviews(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes `count` labelled sentences to a JSONL file and returns its path."""

    def write(name: str = "train.jsonl", count: int = 160, seed: int = 0) -> Path:
        rng = random.Random(seed)
        rows, seen = [], set()
        while len(rows) < count:
            positive = len(rows) % 2 == 0
            text = sentence(rng, positive)
            if text not in seen:
                seen.add(text)
                rows.append({"text": text, "label": "good" if positive else "bad"})
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random BERT with 2 layers of 32 numbers, and a tokenizer for the words above."""
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


def make_tiny_bert(folder: Path, **changes: int) -> Path:
    """Write a tiny BERT and its tokenizer into `folder` and return it; `changes` go into its configuration."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizer()
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    torch.manual_seed(0)
    model = BertModel(BertConfig(**(settings | changes)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer() -> Any:
    """Return a BERT tokenizer whose vocabulary is the words above."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *PLAIN]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )

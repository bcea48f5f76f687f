"""A tiny model and tiny data, both real: what the tests and the reliability suites train on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tunewell.recipe import Recipe

GOOD = ["lovely", "superb", "moving", "warm", "clever", "rich"]
BAD = ["dull", "clumsy", "tired", "empty", "noisy", "stale"]
PLAIN = ["the", "film", "plot", "actors", "music", "scene", "with", "and", "its", "story", "ending", "camera"]


def sentence(rng: random.Random, positive: bool, length: int | None = None) -> str:
    """Return plain words with one or two that tell the label."""
    words = rng.choices(PLAIN, k=length or rng.randint(3, 14))
    for _ in range(rng.randint(1, 2)):
        words.insert(rng.randrange(len(words)), rng.choice(GOOD if positive else BAD))
    return " ".join(words)


def write_reviews(path: Path, count: int = 160, seed: int = 0) -> Path:
    """Write `count` different labelled sentences to the JSONL file `path` and return it."""
    rng = random.Random(seed)
    rows: list[dict[str, str]] = []
    seen = set()
    while len(rows) < count:
        positive = len(rows) % 2 == 0
        text = sentence(rng, positive)
        if text not in seen:
            seen.add(text)
            rows.append({"text": text, "label": "good" if positive else "bad"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_tiny_bert(folder: Path, **changes: float) -> Path:
    """Write a tiny BERT and its tokenizer into `folder` and return it; `changes` go into its configuration.

    It has 2 layers of 32 numbers unless the changes say otherwise.
    """
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "initializer_range": 0.1,  # so small a model hardly learns from the usual 0.02
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


def tiny_recipe(folder: Path, tiny_model: Path, data: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """Return a recipe that trains `tiny_model` in the folder `folder`/run: fp32, one thread, no self-tests; changes win.

    Keys of the section `data` are given as a dict; without `train` in it 160 reviews are written into `folder`.
    """
    section = {"max_length": 32, "validation": 0.2, **(data or {})}
    if "train" not in section:
        section["train"] = str(write_reviews(folder / "train.jsonl"))
    asked = {
        "model": str(tiny_model),
        "output_dir": str(folder / "run"),
        "num_epochs": 2,
        "batch_size": 16,
        "learning_rate": 2e-3,
        "device": "cpu",
        "precision": "fp32",
        "num_threads": 1,
        "self_tests": False,  # they take longer than such a training
    }
    return Recipe.model_validate({**asked, **changes, "data": section})

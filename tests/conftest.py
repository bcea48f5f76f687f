"""What many tests share: a tiny model and tiny data, both real, made here."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tunewell.recipe import Recipe
from tunewell.records import Eval, Record, Step
from tunewell.runs import log as logs
from tunewell.runs.timeline import timeline

if TYPE_CHECKING:
    from tunewell.training.loop import Work
    from tunewell.training.state import TrainState

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


@pytest.fixture(autouse=True)
def _plain_numbers() -> Iterator[None]:
    """A training flushes denormal numbers to zero in this whole process; other tests want them back."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


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


@pytest.fixture
def tiny_recipe(
    tmp_path: Path, tiny_model: Path, write_reviews: Callable[..., Path]
) -> Callable[..., Recipe]:
    """Return a function that makes a recipe for the tiny model: fp32, one thread, folder `run`; changes win.

    Keys of the section `data` are given as a dict; without `train` in it 160 reviews are written.
    """

    def make(data: dict[str, Any] | None = None, **changes: Any) -> Recipe:
        section = {"max_length": 32, "validation": 0.2, **(data or {})}
        if "train" not in section:
            section["train"] = str(write_reviews())
        asked = {
            "model": str(tiny_model),
            "output_dir": str(tmp_path / "run"),
            "num_epochs": 2,
            "batch_size": 16,
            "learning_rate": 2e-3,
            "device": "cpu",
            "precision": "fp32",
            "num_threads": 1,
        }
        return Recipe.model_validate({**asked, **changes, "data": section})

    return make


@pytest.fixture
def begin(tmp_path: Path) -> Callable[[Recipe], tuple[TrainState, Work]]:
    """Return a function that loads a recipe's model and data and stands before the first update."""

    def ready(recipe: Recipe) -> tuple[TrainState, Work]:
        from tunewell.training import setup

        prepared = setup.prepare_run(recipe, tmp_path)
        return setup.begin(prepared), prepared.work

    return ready


def measured(log: Path) -> list[Record]:
    """Return the updates and evaluations that a run came to, without their times: equal for equal runs."""
    timeless = {"time": 0.0, "seconds": 0.0}
    found: list[Record] = []
    for record in timeline(logs.read(log)):
        if isinstance(record, Step):
            found.append(msgspec.structs.replace(record, **timeless, data_seconds=0.0))
        elif isinstance(record, Eval):
            found.append(msgspec.structs.replace(record, **timeless))
    return found


def make_tiny_bert(folder: Path, **changes: float) -> Path:
    """Write a tiny BERT and its tokenizer into `folder` and return it; `changes` go into its configuration."""
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

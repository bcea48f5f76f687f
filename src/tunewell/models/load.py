"""Load a pre-trained model with a new head, and say which of its weights are new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from tunewell.models.attention import fast_attention
from tunewell.models.size import refuse_oversized
from tunewell.models.source import Source
from tunewell.problems import InputError, ModelError, Problem

_POSITION_OFFSETS = {
    "roberta": 2,
    "xlm-roberta": 2,
    "camembert": 2,
    "xlm-roberta-xl": 2,
    "longformer": 2,
    "mpnet": 2,
}
"""Model types whose position table begins after the padding index, so that many rows can't be used."""


@dataclass(frozen=True)
class Loaded:
    """A model in fp32 on the CPU; `new_parameters` names the ones that the checkpoint did not hold."""

    model: nn.Module
    new_parameters: list[str]


def load_tokenizer(source: Source) -> Any:
    """Return the fast tokenizer of `source`; raises `ModelError` when it has none or can't be reached."""
    with _explained(source, "tokenizer"):
        tokenizer: Any = AutoTokenizer.from_pretrained(
            source.location, revision=source.revision or "main", trust_remote_code=False
        )
        words, special = len(tokenizer), len(set(tokenizer.all_special_ids))
    if words <= special:  # what a folder without its files gives
        raise ModelError(
            Problem(
                "model",
                f"`{source.name}` has no tokenizer: its vocabulary is empty",
                field="model",
                fix="put the tokenizer's files, such as tokenizer.json, beside config.json",
            )
        )
    return tokenizer


def load_config(source: Source) -> Any:
    """Return the configuration of `source`, without its weights.

    Raises `ModelError` when it can't be read, or asks for more than the weights beside it can fill.
    """
    with _explained(source, "configuration"):
        config: Any = AutoConfig.from_pretrained(
            source.location, revision=source.revision or "main", trust_remote_code=False
        )
    if source.is_local:
        refuse_oversized(config, Path(source.location), source.name)
    return config


def embedding_rows(config: Any) -> int | None:
    """Return how many token ids a model of this configuration embeds; None: it does not say."""
    rows = getattr(config.get_text_config(), "vocab_size", None)
    return rows if isinstance(rows, int) else None


def position_rows(config: Any) -> int | None:
    """Return how many tokens an input of such a model may have; None: it sets no bound."""
    rows = getattr(config, "max_position_embeddings", None)
    if not isinstance(rows, int) or rows <= 0:
        return None
    return max(1, rows - _POSITION_OFFSETS.get(config.model_type, 0))


def load_model(
    auto_class: Any,
    source: Source,
    *,
    seed: int,
    dropout: float | None,
    device: str = "cpu",
    **config_changes: Any,
) -> Loaded:
    """Return `source` loaded by a transformers `auto_class`, new weights drawn from `seed`.

    `dropout` overrides every dropout of the model's configuration; None keeps them. `config_changes` are keys of
    the model's own configuration, such as ``num_labels``. No remote code is ever run and only safetensors or
    weights-only checkpoints are read.
    """
    with _explained(source, "model"):
        config = AutoConfig.from_pretrained(
            source.location, revision=source.revision or "main", trust_remote_code=False, **config_changes
        )
        if dropout is not None:
            override_dropout(config, dropout)
        torch.manual_seed(seed)
        model, info = auto_class.from_pretrained(
            source.location,
            revision=source.revision or "main",
            config=config,
            dtype=torch.float32,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            attn_implementation=fast_attention(auto_class, config, device),
            output_loading_info=True,
        )
    mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
    new = {*info["missing_keys"], *mismatched}
    if new.issuperset(name for name, _ in model.named_parameters()):
        raise ModelError(
            Problem(
                "model",
                f"the weights of `{source.name}` are not those of a {config.model_type} model: none fits",
                field="model",
                fix="use the weights that belong to its config.json",
            )
        )
    return Loaded(model, sorted(new))


def override_dropout(config: Any, rate: float) -> None:
    """Set every dropout rate in a transformers configuration to `rate`."""
    for key, value in vars(config).items():
        if "dropout" in key and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(config, key, rate)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers' progress bars and load reports off the terminal meanwhile."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _explained(source: Source, part: str) -> Iterator[None]:
    """Turn the loader's errors into a `ModelError`."""
    try:
        with quietly():
            yield
    except (MemoryError, InputError):
        raise
    except Exception as error:  # broken files: tokenizers raises `Exception` itself, transformers any kind
        first_line = (str(error).strip() or type(error).__name__).split("\n")[0][:300]
        fix = (
            "the folder must hold config.json, model.safetensors and the tokenizer's files"
            if source.is_local
            else "check the name and the connection to the hub, or use a folder or an alias such as `minilm`"
        )
        raise ModelError(
            Problem(
                "model", f"can't load the {part} of `{source.name}`: {first_line}", field="model", fix=fix
            )
        ) from error

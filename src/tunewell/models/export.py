"""The result of a run in Hugging Face layout: what `from_pretrained` loads."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tunewell.models.load import quietly


def export(
    model: nn.Module, weights: dict[str, Tensor], tokenizer: Any, card: str, folder: Path, settings: str
) -> None:
    """Write configuration, weights (safetensors, fp32), tokenizer and model card into `folder`.

    `settings` (JSON) is what `tunewell predict` must know besides, kept as ``tunewell.json``.

    Written beside and renamed, so that a half-written result is never taken for one.
    """
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    with quietly():
        model.save_pretrained(beside, state_dict=weights)  # type: ignore[operator]
    _say_fp32(beside / "config.json")
    tokenizer.save_pretrained(beside)
    (beside / "README.md").write_text(card, encoding="utf-8")
    (beside / "tunewell.json").write_text(settings, encoding="utf-8")
    for path in beside.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        beside.rename(folder)
        shutil.rmtree(old)
    else:
        beside.rename(folder)


def _say_fp32(config: Path) -> None:
    """Name the data type of the weights written: the model's own may be bf16, and `from_pretrained` follows it."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**settings, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")

"""The result of a run in Hugging Face layout: what `from_pretrained` loads."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tunewell.models.load import quietly
from tunewell.runs import sums
from tunewell.runs.disk import in_words, sync_folder


def export(
    model: nn.Module, weights: dict[str, Tensor], tokenizer: Any, card: str, folder: Path, settings: str
) -> None:
    """Write configuration, weights (safetensors, fp32), tokenizer, model card and their ``SHA256SUMS`` into `folder`.

    `settings` (JSON) is what `tunewell predict` must know besides, kept as ``tunewell.json``. Raises `RunError` when
    the disk refuses; an earlier result is then as it was.

    Written beside, forced to the disk and renamed: what stands under the name is whole, whenever the process dies.
    """
    beside = folder.with_name(f".{folder.name}.tmp")
    with in_words("write the result", folder), ExitStack() as undo:
        _tidy(folder)
        beside.mkdir()
        undo.callback(shutil.rmtree, beside, ignore_errors=True)
        with quietly(), _told_as_os_error():
            model.save_pretrained(beside, state_dict=weights)  # type: ignore[operator]
            tokenizer.save_pretrained(beside)
        _say_fp32(beside / "config.json")
        (beside / "README.md").write_text(card, encoding="utf-8")
        (beside / "tunewell.json").write_text(settings, encoding="utf-8")
        sums.write(beside)  # which forces the files to the disk
        for inner in (beside, *(path for path in beside.rglob("*") if path.is_dir())):
            sync_folder(inner)
        _swap(beside, folder)
        undo.pop_all()


def _swap(beside: Path, folder: Path) -> None:
    """Give the finished folder its name; the one that had it goes last."""
    with ExitStack() as undo:
        if folder.exists():
            folder.rename(_old(folder))
            undo.callback(_old(folder).rename, folder)
        beside.rename(folder)
        undo.pop_all()
    sync_folder(folder.parent)
    shutil.rmtree(_old(folder), ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Put in order what a process left that died within `export`."""
    shutil.rmtree(folder.with_name(f".{folder.name}.tmp"), ignore_errors=True)
    if _old(folder).exists():
        if folder.exists():
            shutil.rmtree(_old(folder))
        else:  # it died between the two renames
            _old(folder).rename(folder)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def _told_as_os_error() -> Iterator[None]:
    """Raise an error of the disk as an `OSError`: safetensors and tokenizers, which write in Rust, only spell it."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # tokenizers raises no narrower class
        number = re.search(r"os error (\d+)|Os \{ code: (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1] or number[2])
        raise OSError(code, os.strerror(code)) from error


def _say_fp32(config: Path) -> None:
    """Name the data type of the weights written: the model's own may be bf16, and `from_pretrained` follows it."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**settings, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")

"""Whether the disk has room for the checkpoints that a run will keep."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from tunewell.training.state import TrainState

_OPTIMIZER_NUMBERS = {"adamw": 2, "adam": 2, "rmsprop": 2, "sgd": 1, "lion": 1, "adafactor": 0}
"""Numbers that each optimizer keeps beside a weight; adafactor's are too few to count."""
_BYTES = 4
LOG_BYTES = 400
"""Of the log, an update: its record, and its share of what is found and looked into."""


def commit_bytes(state: TrainState) -> int:
    """Return about how many bytes a checkpoint of `state` takes: weights, their average, the optimizer's numbers."""
    weights = sum(math.prod(p.shape) for p in state.weights.masters.values())
    trained = sum(math.prod(p.shape) for p in state.trainable.values())
    beside = _OPTIMIZER_NUMBERS[state.recipe.optimizer] + (state.recipe.ema_decay is not None)
    return _BYTES * (weights + trained * beside)


def needed(commit_bytes: int, more: int) -> int:
    """Return how many bytes `more` commits and the result take."""
    return commit_bytes * (more + 1)


def shortage(folder: Path, needed: int) -> str | None:
    """Return in words that the disk of `folder` has no room for `needed` bytes; None: it has."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # the next commit will say what is wrong with the folder
        return None
    if free >= needed:
        return None
    return (
        f"the disk may become full: {in_words(free)} are free and this run may need {in_words(needed)} more;"
        " free some space meanwhile (training waits when it is full), or keep fewer checkpoints: `save_total_limit`"
    )


def in_words(size: float) -> str:
    """Return a size in bytes as people say it, such as ``1.4 GiB``."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"

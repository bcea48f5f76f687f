"""Whether the disk has room for the checkpoints that a run will keep."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from tunewell.training.state import TrainState

_OPTIMIZER_NUMBERS = {"adamw": 2, "adam": 2, "rmsprop": 2, "sgd": 1, "lion": 1, "adafactor": 0}
"""Numbers that each optimizer keeps beside a weight; adafactor's are too few to count."""
_BYTES = 4


def commit_bytes(state: TrainState) -> int:
    """Return about how many bytes a checkpoint of `state` takes: weights, their average, the optimizer's numbers."""
    weights = sum(math.prod(p.shape) for p in state.weights.masters.values())
    trained = sum(math.prod(p.shape) for p in state.trainable.values())
    beside = _OPTIMIZER_NUMBERS[state.recipe.optimizer] + (state.recipe.ema_decay is not None)
    return _BYTES * (weights + trained * beside)


def shortage(folder: Path, commit_bytes: int, more: int) -> str | None:
    """Return in words that the disk of `folder` has no room for `more` commits and the result; None: it has."""
    needed = commit_bytes * (more + 1)
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

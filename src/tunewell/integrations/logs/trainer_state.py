"""The `trainer_state.json` that transformers' Trainer, and TRL's trainers with it, write into each checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunewell.integrations.logs._json import load
from tunewell.integrations.logs._log import ForeignLog, Row, Value
from tunewell.problems import LogError, Problem


def trainer_state(file: Path) -> ForeignLog:
    """Return the log of a trainer state; raises `LogError` where it is none.

    The Trainer logs the mean loss since its last entry, and by default (``logging_nan_inf_filter``) it leaves losses
    that are not finite out of that mean.
    """
    state = load(file)
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        fix = "a trainer state holds a list of entries there"
        raise LogError(Problem("log", "no `log_history`", str(file), fix=fix))
    if not history:
        fix = "the Trainer wrote it before its first `logging_steps`"
        raise LogError(Problem("log", "`log_history` is empty", str(file), fix=fix))
    rows = [
        Row(place, _values(entry))
        for place, entry in enumerate(history, start=1)
        if "train_runtime" not in entry
    ]  # the entry left out is the Trainer's last: means of the whole run
    return ForeignLog(
        file,
        "transformers",
        rows,
        averaged=True,
        filtered=True,
        total_steps=_whole(state.get("max_steps")),
        num_classes=_classes(file.parent / "config.json"),
    )


def _values(entry: dict[str, Any]) -> dict[str, Value]:
    values: dict[str, Value] = {
        name: value for name, value in entry.items() if isinstance(value, int | float | str) or value is None
    }
    speed, seconds = entry.get("eval_samples_per_second"), entry.get("eval_runtime")
    if isinstance(speed, int | float) and isinstance(seconds, int | float):
        values["eval_rows"] = float(round(speed * seconds))
    return values


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _classes(config: Path) -> int:
    """Return how many classes the model beside the state tells apart; 0: not known, or no such task."""
    try:
        read = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return 0
    if not isinstance(read, dict) or read.get("problem_type") not in {None, "single_label_classification"}:
        return 0
    is_classifier = any("ForSequenceClassification" in str(name) for name in read.get("architectures") or [])
    labels = read.get("id2label") or {0: "", 1: ""}  # absent: the library's default of two
    return len(labels) if is_classifier and isinstance(labels, dict) and len(labels) > 1 else 0

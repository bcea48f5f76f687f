"""A run or a model folder becomes a predictor."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from tunewell import plugins
from tunewell.problems import ModelError, Problem, RunError
from tunewell.runs import folder as run_folders
from tunewell.runs import sums
from tunewell.tasks._text_predictor import TextPredictor


def load_predictor(run_or_model: str | Path) -> TextPredictor:
    """Return the predictor of a run (by name or folder) or of a model folder.

    Raises `RunError` for a run that has no model yet.
    """
    folder = model_folder(run_or_model)
    settings = folder / "tunewell.json"
    task = (
        json.loads(settings.read_text(encoding="utf-8"))["task"]
        if settings.is_file()
        else "text_classification"
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    predictor: TextPredictor = plugins.load("tasks", task).predictor(
        folder, device=device, dtype=torch.float32
    )
    return predictor


def model_folder(run_or_model: str | Path) -> Path:
    """Return the folder of the model that is meant: itself, or the one in the run's folder.

    Raises `ModelError` where the folder is sealed and its files are not what was sealed, but for the model card.
    """
    folder = Path(run_or_model)
    if not os.path.isfile(folder / "config.json"):
        folder = _model_of_run(run_or_model)
    if (folder / sums.SUMS).is_file():
        _refuse_damaged(folder)
    return folder


def _model_of_run(run_or_model: str | Path) -> Path:
    run = run_folders.find(str(run_or_model))
    if not run.model.is_dir():
        raise RunError(
            Problem(
                "run",
                f"run `{run.name}` has no model yet",
                str(run.path),
                fix=f"let it finish: tunewell resume {run.name}",
            )
        )
    return run.model


def _refuse_damaged(folder: Path) -> None:
    damage = sums.check(folder)
    damage.pop("README.md", None)  # people edit it, and nothing is read from it
    if damage:
        fix = f"bring it back, or, if it is meant to be so, delete {sums.SUMS}; `tunewell verify` checks a whole run"
        raise ModelError(
            Problem("model", f"{name} {problem}", str(folder / name), fix=fix)
            for name, problem in damage.items()
        )

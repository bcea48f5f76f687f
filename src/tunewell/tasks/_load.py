"""A run or a model folder becomes a predictor."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tunewell import plugins
from tunewell.problems import Problem, RunError
from tunewell.runs import folder as run_folders
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
    """Return the folder of the model that is meant: itself, or the one in the run's folder."""
    folder = Path(run_or_model)
    if (folder / "config.json").is_file():
        return folder
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

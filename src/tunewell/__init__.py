"""Tunewell fine-tunes a pre-trained model on labelled data, watched, explained and repaired while it trains."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch loads OpenMP: a thread that waits should spin for some microseconds, then sleep. By default it spins
# for long, and when any other program wants a core each parallel product waits for a thread that is not running:
# measured 20 times slower on 2 cores. Sleeping at once costs a quarter of the speed of small steps.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")

if TYPE_CHECKING:
    from tunewell.recipe import Recipe
    from tunewell.records import Ended
    from tunewell.tasks._text_predictor import TextPredictor

__version__ = "0.1.0"
__all__ = ["load", "train"]


def train(recipe: Recipe | str | Path) -> Ended:
    """Train a recipe (or the recipe in a file) to its end and return the run's last record.

    Raises an `InputError` of `tunewell.problems` when recipe, data or model can't be used. To see the run while
    it trains, iterate over `tunewell.training.driver.train` instead.
    """
    from tunewell.document import load_recipe
    from tunewell.records import Ended
    from tunewell.training import driver

    if isinstance(recipe, str | Path):
        path = Path(recipe)
        records = driver.train(load_recipe(path), path.parent, stem=path.stem)
    else:
        records = driver.train(recipe)
    last = collections.deque(records, maxlen=1).pop()
    assert isinstance(last, Ended), "a run ends with its Ended record"
    return last


def load(run_or_model: str | Path) -> TextPredictor:
    """Return a predictor for a run (by name or folder) or a model folder.

    ``load("runs/demo").predict(["A film to remember."])`` gives labels with probabilities.
    """
    from tunewell.tasks._load import load_predictor

    return load_predictor(run_or_model)

"""Where runs live: the folder of a new run, and the one that a name means."""

from __future__ import annotations

from pathlib import Path

from tunewell.recipe import Recipe
from tunewell.runs.folder import next_free

ROOT = Path("runs")
"""Folder of all runs, in the present one."""


def named(recipe: Recipe, file: Path, name: str | None) -> tuple[Recipe, Path]:
    """Return `recipe` with the name of its run, and the run's folder; `name` wins over the recipe's own."""
    name = name or recipe.name
    if recipe.output_dir is not None:
        folder = Path(recipe.output_dir)
        return recipe.model_copy(update={"name": name or folder.name}), folder
    folder = ROOT / name if name else next_free(ROOT, file.stem)
    return recipe.model_copy(update={"name": folder.name}), folder

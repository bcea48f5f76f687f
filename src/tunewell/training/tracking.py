"""The tools that a recipe names in `log_to`: there before anything starts, fed while the run trains."""

from __future__ import annotations

import dataclasses
import importlib.util
from functools import partial

from tunewell import plugins
from tunewell.problems import Problem, RecipeError
from tunewell.recipe import Recipe
from tunewell.runs.folder import RunFolder
from tunewell.runs.forwarding import Forwarding, Opening, Tracker
from tunewell.training.changes import flat_settings

_FOLDER = "integrations.trackers"


def check(recipe: Recipe) -> None:
    """Raise `RecipeError` for each tool of `log_to` that is not known or not installed."""
    problems = []
    for name in recipe.log_to:
        try:
            library = getattr(plugins.load(_FOLDER, name), "library", "")
        except RecipeError as error:
            message = error.problems[0].message.replace(_FOLDER, "the tools to log to")
            problems.append(dataclasses.replace(error.problems[0], message=message, field="log_to"))
            continue
        if library and importlib.util.find_spec(library) is None:
            what = f"`log_to: {name}` needs the package `{library}`, which is not installed"
            fix = f"pip install 'tunewell[{name}]', or take it out of log_to"
            problems.append(Problem("recipe", what, field="log_to", fix=fix))
    if problems:
        raise RecipeError(problems)


def forwarding(recipe: Recipe, folder: RunFolder) -> Forwarding:
    """Return what passes the run's records on; nothing is opened before the first record."""
    settings = {key: value for key, value in flat_settings(recipe).items() if value not in (None, [], {})}
    opening = Opening(name=folder.name, folder=folder.path.resolve(), settings=settings)
    return Forwarding({name: partial(_opened, name, opening) for name in recipe.log_to})


def _opened(name: str, opening: Opening) -> Tracker:
    tracker: Tracker = plugins.load(_FOLDER, name)(opening)
    return tracker

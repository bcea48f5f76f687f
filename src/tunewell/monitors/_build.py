"""Settings of a recipe → monitors, each mistake named."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from tunewell.monitors._protocol import Monitor
from tunewell.plugins import load, names
from tunewell.problems import Problem, RecipeError, nearest
from tunewell.recipe import Recipe

Settings = Mapping[str, Literal[False] | dict[str, Any]]


def build(settings: Settings) -> dict[str, Monitor]:
    """Return every monitor of this folder that `settings` does not switch off, and the user's own, by name.

    `settings` holds fields by monitor, or False. Raises one `RecipeError` that names every unknown monitor, unknown
    field and bad value.
    """
    wanted = {name: settings.get(name, {}) for name in [*names("monitors"), *settings]}
    monitors: dict[str, Monitor] = {}
    problems: list[Problem] = []
    for name, fields in wanted.items():
        try:
            kind = load("monitors", name)
            if fields is not False:
                monitors[name] = _configured(name, kind, fields)
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return monitors


def from_recipe(recipe: Recipe, main_metric: str) -> dict[str, Monitor]:
    """Return the monitors of `recipe`: its own early-stopping keys and metric go where no setting says otherwise.

    `main_metric` is the task's, for a recipe that names none. Kinds of fault that `on` ignores are not looked for.
    """
    metric = recipe.metric_for_best_model or main_metric
    asked: dict[str, dict[str, Any]] = {
        "overtraining": {"metric": metric},
        "overfitting": {"metric": metric},
        "plateau": {"metric": metric},
    }
    if recipe.early_stopping_patience is not None:
        asked["overtraining"] |= {
            "patience": recipe.early_stopping_patience,
            "threshold": recipe.early_stopping_threshold,
        }
    settings: dict[str, Literal[False] | dict[str, Any]] = dict(recipe.monitors)
    for name, fields in asked.items():
        own = settings.get(name, {})
        if own is not False:
            settings[name] = fields | own
    return build(settings | ignored(recipe.on))


def ignored(on: Mapping[str, str]) -> dict[str, Literal[False]]:
    """Return settings that switch off the monitors of the kinds of fault that `on` ignores."""
    return {code: False for code, wish in on.items() if wish == "ignore" and code in names("monitors")}


def _configured(name: str, kind: Any, fields: dict[str, Any]) -> Monitor:
    known = list(inspect.signature(kind).parameters)
    unknown = [field for field in fields if field not in known]
    if unknown:
        raise RecipeError([_unknown(name, field, known) for field in unknown])
    try:
        return cast(Monitor, msgspec.convert(fields, type=kind))
    except msgspec.ValidationError as error:
        raise RecipeError(
            Problem(
                "recipe",
                f"a setting of the monitor `{name}` can't be used: {error}",
                field=f"monitors.{name}",
            )
        ) from error


def _unknown(name: str, field: str, known: list[str]) -> Problem:
    guess = nearest(field, known)
    fix = f"did you mean `{guess}`?" if guess else f"known: {', '.join(known)}"
    return Problem(
        "recipe", f"the monitor `{name}` has no setting `{field}`", field=f"monitors.{name}.{field}", fix=fix
    )

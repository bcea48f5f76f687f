"""Names in a recipe become modules: `name` of a folder is the file `name.py` in it; `package.module:attr` is a user's own."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from tunewell.problems import Problem, RecipeError, nearest


def names(folder: str) -> list[str]:
    """Return the keys that `tunewell/<folder>/` offers, sorted: its public modules."""
    package = importlib.import_module(f"tunewell.{folder}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(folder: str, name: str) -> Any:
    """Return the class or function `name` of `tunewell/<folder>/<name>.py`, or a user's own ``package.module:attr``.

    A module holds one public object named as the file: a class in CamelCase or a function in snake_case.
    Raises `RecipeError` with the nearest known name.
    """
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise RecipeError(
                Problem("recipe", f"can't load `{name}`: {error}", fix="give it as package.module:attribute")
            ) from error
    known = names(folder)
    if name not in known:
        guess = nearest(name, known)
        fix = f"did you mean `{guess}`?" if guess else f"known: {', '.join(known)}"
        raise RecipeError(Problem("recipe", f"no `{name}` among {folder}", fix=fix))
    module = importlib.import_module(f"tunewell.{folder}.{name}")
    camel = "".join(word.capitalize() for word in name.split("_"))
    return getattr(module, camel, None) or getattr(module, name)

"""Recipes as text: read from YAML with the place of each mistake, written as YAML, described as JSON Schema."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import pydantic
import yaml

from tunewell import plugins, strict_yaml
from tunewell.mistakes import add_mistakes
from tunewell.problems import Problem, RecipeError, nearest
from tunewell.recipe import ALIASES, Data, Recipe, Stage
from tunewell.strict_yaml import Path, Tree, dotted

_KEYS: dict[Path, Iterable[str]] = {
    (): Recipe.model_fields,
    ("data",): Data.model_fields,
    ("stages",): Stage.model_fields,
}


@dataclass(frozen=True)
class Document:
    """A recipe as it was read."""

    recipe: Recipe
    base: File
    """Folder that relative data paths start from: the recipe file's."""
    notes: list[str]
    """What a reader should know, such as a spelling of another tool that was understood."""


def load_recipe(path: str | File, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe in the YAML file `path`, changed by `overrides` (``key=value``).

    Raises `RecipeError` with every problem found.
    """
    return load_document(path, overrides).recipe


def load_document(path: str | File, overrides: Sequence[str] = ()) -> Document:
    """Return the recipe in the YAML file `path`, its folder and the notes made in reading; raises `RecipeError`."""
    file = File(path)
    tree = strict_yaml.parse(_read(file), str(path))
    notes: list[str] = []
    return Document(_recipe(tree, overrides, notes), file.parent, notes)


def line_of(path: str | File, field: str) -> int | None:
    """Return the line of the key `field` (such as ``data.train``) in the recipe file `path`, or None."""
    tree = strict_yaml.parse(_read(File(path)), str(path))
    return tree.place(tree.path(field))[1]


def parse_recipe(text: str, file: str) -> Recipe:
    """Return the recipe in the YAML `text`; `file` names it in errors. Raises `RecipeError` with every problem."""
    return _recipe(strict_yaml.parse(text, file), (), [])


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe, with descriptions, for editors."""
    schema = Recipe.model_json_schema()
    for alias, key in ALIASES.items():
        if key in schema["properties"]:
            schema["properties"][alias] = {
                **schema["properties"][key],
                "description": f"Another spelling of `{key}`.",
                "deprecated": True,
            }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Tunewell recipe"}


def dump_recipe(recipe: Recipe) -> str:
    """Return YAML of all that differs from the defaults; `parse_recipe` of it gives an equal recipe."""
    settings = recipe.model_dump(mode="python", exclude_defaults=True)
    text: str = yaml.dump(settings, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)
    return text


def dump_value(value: Any) -> str:
    """Return `value` as YAML on one line, such as ``[neg, pos]``."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=1 << 30)
    return text.removesuffix("...\n").strip()


def absolute_paths(recipe: Recipe, base: File) -> Recipe:
    """Return `recipe` with its data files, and its model if that is a folder under `base`, as absolute paths.

    Names on the hub and aliases of models stay as they are.
    """
    base = base.resolve()

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        if not isinstance(value, str):
            return value
        prefix, colon, rest = value.partition(":")
        if colon and prefix in plugins.names("data.formats"):  # such as csv:reviews.txt
            return value if prefix == "hub" else f"{prefix}:{base / File(rest).expanduser()}"
        return str(base / File(value).expanduser())

    splits = {split: absolute(getattr(recipe.data, split)) for split in ("train", "validation", "test")}
    folder = base / File(recipe.model).expanduser()
    model = str(folder) if os.path.isdir(folder) else recipe.model
    return recipe.model_copy(update={"model": model, "data": recipe.data.model_copy(update=splits)})


class _Dumper(yaml.SafeDumper):
    """Quotes whatever our own reader would not take for the same text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    is_plain = isinstance(strict_yaml.plain(text), str) and not strict_yaml.is_twisted(text)
    style = None if is_plain and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _read(file: File) -> str:
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise RecipeError(_unreadable(file, error)) from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        message, fix = "the file is in UTF-16", "save it as UTF-8"
        raise RecipeError(Problem("recipe", message, str(file), 1, fix=fix))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"the file is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}"
        fix = "save it as UTF-8; it may be in cp1252 (Windows) or latin-1"
        raise RecipeError(Problem("recipe", message, str(file), line, fix=fix)) from error


def _unreadable(file: File, error: OSError | ValueError) -> Problem:
    if isinstance(error, FileNotFoundError):
        if not file.parent.is_dir():
            return Problem("recipe", f"there is no folder {file.parent}", str(file), fix="check the path")
        names = sorted(p.name for p in file.parent.iterdir() if p.suffix in {".yaml", ".yml"})
        near = nearest(file.name, names) or (names[0] if len(names) == 1 else None)
        fix = (
            f"did you mean `{file.parent / near}`?" if near else "make one from your data: tunewell init DATA"
        )
        return Problem("recipe", "there is no such file", str(file), fix=fix)
    if isinstance(error, IsADirectoryError):
        return Problem("recipe", "this is a folder", str(file), fix="give the recipe's YAML file")
    reason = getattr(error, "strerror", None) or str(error)
    fix = "check its permissions" if isinstance(error, PermissionError) else "check the path"
    return Problem("recipe", f"the file can't be read: {reason}", str(file), fix=fix)


def _recipe(tree: Tree, overrides: Sequence[str], notes: list[str]) -> Recipe:
    if tree.value is None and not tree.problems:
        tree.refuse((), "the recipe is empty", "make one from your data: tunewell init DATA")
    elif not isinstance(tree.value, dict) and not tree.problems:
        tree.refuse(
            (), "a recipe must be `key: value` lines", "begin with `data:` and `  train: FILE` below it"
        )
    if not isinstance(tree.value, dict):
        raise RecipeError(tree.problems)
    _rename_aliases(tree, notes)
    for override in overrides:
        _override(tree, override, notes)
    recipe = None
    try:
        recipe = Recipe.model_validate(tree.value, strict=True)
    except pydantic.ValidationError as error:
        add_mistakes(tree, error)
    _check_names(tree)
    if tree.problems or recipe is None:
        raise RecipeError(sorted(tree.problems, key=lambda problem: problem.line or 0))
    return recipe


def _rename_aliases(tree: Tree, notes: list[str]) -> None:
    """Give well-known spellings of other tools our names, in place."""
    stages = tree.value.get("stages")
    places: list[Path] = [(), ("data",)]
    places += [("stages", i) for i in range(len(stages) if isinstance(stages, list) else 0)]
    for place in places:
        section = tree.get(place)
        for key in list(section) if isinstance(section, dict) else []:
            old = (*place, key)
            new = _meaning(old)
            if new == old:
                continue
            if tree.get(new) is not None:
                message = f"`{dotted(old)}` means `{dotted(new)}`, which is given too"
                tree.refuse(old, message, "keep one of the two lines")
                tree.cut(old)
            elif not new[:-1] or isinstance(tree.get(new[:-1]), dict | None):
                tree.graft(new, tree.cut(old))
                notes.append(f"`{dotted(old)}` is understood as `{dotted(new)}`")


def _meaning(path: Path) -> Path:
    """Return the path that `path` means in our words; itself if its last key is no alias there."""
    place, key = path[:-1], str(path[-1])
    target = ALIASES.get(key)
    keys = _KEYS.get(place[:1], ())
    if target is None or key in keys:
        return path
    if not place:
        return tuple(target.split("."))
    last = target.split(".")[-1]
    return (*place, last) if last in keys else path


def _override(tree: Tree, override: str, notes: list[str]) -> None:
    """Set one `key=value` of the command line."""
    key, equals, text = override.partition("=")
    label = f"--set {override}"
    if not equals or not all(key.strip().split(".")):
        fix = "write key=value, such as --set learning_rate=3e-5"
        tree.problems.append(Problem("recipe", f"`{override}` is not a setting", label, fix=fix))
        return
    asked = tree.path(key.strip())
    path = _meaning(asked)
    if path != asked:
        notes.append(f"`{dotted(asked)}` is understood as `{dotted(path)}`")
    branch = strict_yaml.parse(text, label)
    for problem in branch.problems:
        tree.problems.append(dataclasses.replace(problem, line=None, field=dotted(path)))
    if branch.problems:
        tree.broken.add(path)
    elif not tree.graft(path, branch):
        message = f"there is no place for `{dotted(path)}` in the recipe"
        fix = "set the whole, such as --set 'stages=[{train: head}, {train: all}]'; list items count from 0"
        tree.problems.append(Problem("recipe", message, label, field=dotted(path), fix=fix))


def _check_names(tree: Tree) -> None:
    """Refuse tasks, policies and monitors that don't exist."""
    monitors = tree.value.get("monitors")
    asked: list[tuple[Path, str]] = [(("task",), "tasks"), (("policy",), "policies")]
    asked += [(("monitors", name), "monitors") for name in (monitors if isinstance(monitors, dict) else ())]
    for path, folder in asked:
        name = path[-1] if folder == "monitors" else tree.get(path)
        if not isinstance(name, str) or ":" in name or path in tree.broken:
            continue
        known = plugins.names(folder)
        if name not in known:
            near = nearest(name, known)
            fix = f"did you mean `{near}`?" if near else f"known: {', '.join(known)}"
            tree.refuse(path, f"no `{name}` among the {folder}", fix)

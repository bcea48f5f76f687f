"""What a recipe's model refuses, told in plain sentences: the value found, what is allowed, and how to mend it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pydantic

from tunewell.problems import nearest
from tunewell.recipe import ALIASES, Recipe
from tunewell.strict_yaml import Path, Tree, dotted, plain

_Schema = dict[str, Any]
_HUGE = 2**31 - 1
_SHOWN_LENGTH = 40
_DATA_FIX = "write `data:` and `  train: FILE` below it"


def add_mistakes(tree: Tree, error: pydantic.ValidationError) -> None:
    """Add to `tree` a problem for each place that `error` speaks of, one a place."""
    document = Recipe.model_json_schema()
    details = error.errors(include_url=False)
    paths = {_path(tree, detail) for detail in details}
    for detail in details:
        path = _path(tree, detail)
        # a value of many allowed kinds fails once for each: speak once, of the innermost place
        covered = any(other != path and other[: len(path)] == path for other in paths) and path != ()
        if covered or any(path[:end] in tree.broken for end in range(1, len(path) + 1)):
            continue
        kind = detail["type"]
        if kind == "missing":
            _refuse_missing(tree, path, document)
        elif kind == "extra_forbidden":
            _refuse_unknown(tree, path, document)
        elif kind == "conflicts":
            for field, message, fix in detail["ctx"]["conflicts"]:
                tree.refuse(tuple(field.split(".")), message, fix)
        else:
            _refuse_value(tree, path, document)


def written(value: Any) -> str:
    """Return `value` as it would stand in a recipe, shortened."""
    if isinstance(value, float) and math.isfinite(value):
        return re.sub(r"e([-+])0(\d)$", r"e\1\2", repr(value)).replace("e+", "e").removesuffix(".0")
    if type(value) is int and value > _HUGE and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 2] + '…"'
    return json.dumps(value, ensure_ascii=False)


def _path(tree: Tree, detail: Any) -> Path:
    """Return the place in the document that pydantic means, without its names of alternatives."""
    if detail["type"] == "missing":
        return tuple(detail["loc"])
    path: Path = ()
    for part in detail["loc"]:
        value = tree.get(path)
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            path = (*path, part)
    return path


def _schema_at(path: Path, document: _Schema) -> _Schema:
    """Return the JSON Schema of the value at `path`, or an empty one."""
    schema = document
    for part in path:
        for option in _options(schema, document):
            if part in option.get("properties", {}):
                schema = option["properties"][part]
                break
            if isinstance(part, int) and "items" in option:
                schema = option["items"]
                break
            if isinstance(option.get("additionalProperties"), dict):
                schema = option["additionalProperties"]
                break
        else:
            return {}
    return schema


def _options(schema: _Schema, document: _Schema) -> list[_Schema]:
    """Return the alternatives of `schema`, references followed."""
    if "$ref" in schema:
        return [document["$defs"][schema["$ref"].rsplit("/", 1)[-1]]]
    if "anyOf" in schema:
        return [option for inner in schema["anyOf"] for option in _options(inner, document)]
    return [schema]


def _default(schema: _Schema) -> str:
    if schema.get("default") in (None, [], {}):
        return ""
    default = schema["default"]
    return f"  (default {default if isinstance(default, str) else written(default)})"


def _refuse_missing(tree: Tree, path: Path, document: _Schema) -> None:
    about = str(_schema_at(path, document).get("description", "")).splitlines()
    fix = _DATA_FIX if path == ("data",) else f"give it: {about[0]}"
    tree.refuse(path, f"`{dotted(path)}` is missing", fix)


def _refuse_unknown(tree: Tree, path: Path, document: _Schema) -> None:
    """Say where an unknown key belongs, or which known one was meant."""
    section, key = path[:-1], str(path[-1])
    known = _properties(section, document)
    places: list[Path] = [(), ("data",)]
    home = next((place for place in places if place != section and key in _properties(place, document)), None)
    if home is not None:
        where = f"under `{dotted(home)}:`" if home else "at the top level, not indented"
        fix = f"write it {where}"
    elif near := nearest(key, [*known, *(() if section else ALIASES)]):
        meant = ALIASES.get(near, near)
        schema = _schema_at((*section, *meant.split(".")), document)
        fix = f"did you mean `{meant}`?{_default(schema)}"
    else:
        fix = "remove it; `tunewell schema` lists all keys"
    tree.refuse(path, f"unknown key `{key}`", fix)


def _properties(section: Path, document: _Schema) -> _Schema:
    found: _Schema = {}
    for option in _options(_schema_at(section, document), document):
        found |= option.get("properties", {})
    return found


def _refuse_value(tree: Tree, path: Path, document: _Schema) -> None:
    value, source = tree.get(path), tree.sources.get(path)
    schema = _schema_at(path, document)
    options = _options(schema, document)
    types = {option.get("type") for option in options}
    message = f"`{dotted(path)}` can't be {_found(value, source)}" if path else "the recipe is not complete"
    choices = [choice for option in options for choice in _choices(option)]
    fix = _DATA_FIX if path == ("data",) else f"give {_allowed(options, value)}{_default(schema)}"
    if isinstance(value, bool) and source is not None and "string" in types and not choices:
        message += f": YAML reads it as {written(value)}"
        fix = f'write "{source}" in quotes if you mean the word'
    elif type(value) in {int, float} and source is not None and "string" in types and not _fits(value, types):
        fix = f'write "{source}" in quotes to make it text'
    elif isinstance(value, str) and source is None and _fits(plain(value), types):
        fix = "remove the quotes"
    elif isinstance(value, str) and (near := nearest(value, choices)):
        fix = f"did you mean `{near}`?  (known: {', '.join(choices)})"
    tree.refuse(path, message, fix)


def _found(value: Any, source: str | None) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "empty"
    if source is not None and len(source) <= _SHOWN_LENGTH:
        return f"`{source}`"
    return written(value)


def _fits(value: Any, types: set[Any]) -> bool:
    kinds = {bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}}
    return bool(types & kinds.get(type(value), set()))


def _choices(option: _Schema) -> list[str]:
    return [choice for choice in option.get("enum", [option.get("const")]) if isinstance(choice, str)]


def _allowed(options: list[_Schema], value: Any) -> str:
    """Return what may stand there, in words: ``a whole number greater than 0 or null``."""
    words = [_words(option, value) for option in options]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _words(option: _Schema, value: Any) -> str:
    if "enum" in option:
        return "one of " + ", ".join(option["enum"])
    if "const" in option:
        return f"`{option['const']}`" if isinstance(option["const"], str) else written(option["const"])
    kind = option.get("type")
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _bounds(option, value)
    if kind == "string":
        return str(option.get("description", "text")).removesuffix(".") if "pattern" in option else "text"
    if kind == "array":
        items = option.get("items", {})
        if "enum" in items:
            return "a list of " + ", ".join(items["enum"])
        return "a list" + (" of texts" if items.get("type") == "string" else "")
    return {"boolean": "true or false", "null": "null"}.get(str(kind), "`key: value` lines")


def _bounds(option: _Schema, value: Any) -> str:
    words = {
        "exclusiveMinimum": "greater than",
        "minimum": "at least",
        "exclusiveMaximum": "less than",
        "maximum": "at most",
    }
    parts = []
    for key, phrase in words.items():
        bound = option.get(key)
        is_ceiling_nobody_meets = key.endswith("aximum") and bound is not None and bound >= _HUGE
        if bound is None or (is_ceiling_nobody_meets and not (isinstance(value, int) and value > bound)):
            continue
        parts.append(f"{phrase} {written(bound)}")
    joined = " and ".join(parts)
    return f" of {joined}" if joined.startswith("at") else f" {joined}".rstrip()

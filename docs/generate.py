"""Write the pages that the code itself tells: docs/recipe.md, docs/recipe.schema.json, docs/remedies.md, docs/monitors/.

    .venv/bin/python docs/generate.py

`tests/test_docs.py` fails when a page is not what this would write.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from tunewell import plugins
from tunewell.document import dump_value, recipe_schema
from tunewell.policies._ladders import LADDERS, REMEDIES
from tunewell.recipe import ALIASES, Data, Recipe, Stage

FOLDER = Path(__file__).parent
HEAD = "<!-- Written by docs/generate.py: change the code, not this page. -->"
HUGE = 2**31 - 1
"""Bounds from here on only keep numbers within what a machine holds; nobody needs to read them."""

PARTS = {
    "model": "What is trained, on what",
    "num_epochs": "Length and batches",
    "learning_rate": "Optimization",
    "layer_decay": "Tuning",
    "eval_steps": "Evaluation, checkpoints, the best model",
    "device": "Where it runs",
    "policy": "Watching",
}
"""Headings of the recipe's page, each before the key that it begins with."""

FROM_RECIPE = """\
In a run, `metric` is the recipe's `metric_for_best_model`, else the task's main metric, and `patience` and `threshold` \
of [overtraining](overtraining.md) are its `early_stopping_patience` and `early_stopping_threshold` where it gives them, unless \
they are set here."""

Schema = dict[str, Any]


def main() -> None:
    """Write every page, and delete those of monitors that are gone."""
    written = pages()
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in (FOLDER / "monitors").glob("*.md"):
        if path not in written:
            path.unlink()
    print(f"{len(written)} pages", file=sys.stderr)


def pages() -> dict[Path, str]:
    """Return the text of every generated page by its path."""
    monitors = {name: plugins.load("monitors", name) for name in plugins.names("monitors")}
    policies = {name: plugins.load("policies", name) for name in plugins.names("policies")}
    found = {
        FOLDER / "recipe.md": recipe_page(),
        FOLDER / "recipe.schema.json": json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n",
        FOLDER / "monitors" / "README.md": overview_page(monitors, policies),
        FOLDER / "remedies.md": remedies_page(set(monitors)),
    }
    return found | {
        FOLDER / "monitors" / f"{name}.md": monitor_page(name, kind) for name, kind in monitors.items()
    }


def recipe_page() -> str:
    """Return the page of all recipe keys."""
    schema = recipe_schema()
    parts: list[str] = [
        HEAD,
        "# The recipe",
        "One YAML file says what to train, on what, how, and watched by what. Only `data.train` has to be given. "
        "`tunewell init DATA` drafts a recipe for your data, `--set key=value` changes a key on the command line "
        "(`--set data.max_length=128`), and `tunewell schema` prints the "
        "[JSON Schema](recipe.schema.json) that editors complete and check with.",
        _fenced("yaml", "data:\n  train: reviews.csv\nnum_epochs: 2\nlearning_rate: 1e-4"),
        "An unknown key, a value that can't be, two settings that can't work together: every mistake is told at once, "
        "with its line and how to mend it, before anything is loaded. A mistyped key is never passed over.",
    ]
    rows: list[list[str]] = []
    for key in Recipe.model_fields:
        if key in PARTS:
            parts += _rows(rows)
            parts.append(f"## {PARTS[key]}")
            rows = []
        rows.append(_recipe_row(key, schema["properties"][key], schema))
    parts += _rows(rows)
    for title, name, model in (("Data", "data", Data), ("Stages", "stages", Stage)):
        parts += [f"## {title}: the keys of `{name}`", *_model_rows(model, schema)]
    aliases = [[f"`{alias}`", f"`{key}`"] for alias, key in ALIASES.items()]
    parts += [
        "## Spellings of other tools",
        "They are understood, and a note says so.",
        _table(["written", "read as"], aliases),
    ]
    return _page(parts)


def overview_page(monitors: dict[str, Any], policies: dict[str, Any]) -> str:
    """Return the page that lists the monitors and explains the policies."""
    listed = [
        [f"[{name}]({name}.md)", _prose(_first(inspect.getmodule(kind)))] for name, kind in monitors.items()
    ]
    parts = [
        HEAD,
        "# Monitors and policies",
        "A monitor knows one fault. It reads the run's records and reports findings: what was seen, with numbers; what "
        "it means; likely causes; what to do. At the end each says one of three things of its fault: it was *seen*, it "
        "was *checked and fine*, or it *could not be checked*, and why. `tunewell why RUN` tells all of it.",
        _table(["monitor", "what it looks for"], listed),
        "A setting is changed, or a monitor switched off, under `monitors` in the recipe:",
        _fenced("yaml", "monitors:\n  loss_spike: {window: 64}\n  stall: false"),
        "## Policies",
        "A policy decides what is done about findings; `policy` in the recipe names it. What the recipe itself asks "
        "for (early stopping by `early_stopping_patience`, lower rates by `lr_scheduler: plateau`) is done under every "
        "policy and logged in the same way. Its numbers below are fixed; a policy of your own is named as "
        "`policy: package.module:Class`. What can be done about each fault, and what you can say about it, is under "
        "[remedies](../remedies.md).",
    ]
    for name, kind in policies.items():
        parts += [f"### {name}", _prose(inspect.getdoc(kind)), *_settings(kind, "number")]
    return _page(parts)


def remedies_page(monitors: set[str]) -> str:
    """Return the page of what can be done about faults, by whom, and how it is measured."""
    linked = {code: f"[{code}](monitors/{code}.md)" if code in monitors else code for code in LADDERS}
    ladders = [
        [linked[code], ", ".join(f"`{remedy}`" for remedy in LADDERS[code])] for code in sorted(LADDERS)
    ]
    remedies = [[f"`{name}`", _cell(inspect.getdoc(remedy) or "")] for name, remedy in REMEDIES.items()]
    parts = [
        HEAD,
        "# Remedies",
        "What is done about a fault is decided by the [policy](monitors/README.md#policies) of the recipe: `observe` "
        "does nothing, `cautious` acts where waiting would lose the run, `autopilot` takes the first remedy of the "
        "fault's ladder that can be had.",
        "Each action is read back where it counts, and logged with what would take it back. Some updates later its "
        "effect is measured by what the fault showed in (the training loss, the validation score, updates that could "
        "not be made, a number from inside such as a stale gradient) and logged with the numbers. What did not help is "
        "undone and not done again for that kind of fault in this run; the next remedy of the ladder follows, until none "
        "is left. `tunewell why RUN` tells all of it.",
        "## Your say",
        "`on` in the recipe says for single kinds of fault what to do, over what the policy would:",
        _fenced(
            "yaml",
            "policy: autopilot\non:\n  plateau: ignore             # not even told\n  overfitting: observe        # told, nothing done\n"
            "  label_noise: ask            # proposed; done once a person agrees\n  loss_spike: rollback        # this remedy, under any policy\n"
            "  divergence: ask rollback    # this remedy, once a person agrees\npolicy_budget: 10             # most actions of the run\n"
            "dry_run_actions: true         # log what would be done, do nothing",
        ),
        "A proposal waits in the run's log, and the run goes on meanwhile. `tunewell why RUN` lists what waits, "
        "`tunewell approve RUN [NUMBER]` and `tunewell decline RUN [NUMBER]` answer; the run reads the answer between two "
        "updates.",
        "## Ladders",
        "A fault that is not listed has no remedy that a program should apply.",
        _table(["fault", "remedies, the first to try first"], ladders),
        "## What each does",
        _table(["remedy", "what it does"], remedies),
    ]
    return _page(parts)


def monitor_page(name: str, kind: Any) -> str:
    """Return the page of one monitor."""
    effects = [f"[{code}]({code}.md)" for code in kind.explains]
    parts = [HEAD, f"# {name}", _prose(_first(inspect.getmodule(kind))), _prose(inspect.getdoc(kind))]
    if effects:
        told = "Told as the cause of these, seen with it, so that one fault makes one incident: "
        parts.append(told + ", ".join(effects) + ".")
    settings = _settings(kind, "setting")
    parts += ["## Settings", *settings] if settings else []
    defaults = dict(zip(kind.__struct_fields__, kind.__struct_defaults__, strict=True))
    if "metric" in defaults:
        parts.append(FROM_RECIPE)
    if name in LADDERS:
        told = ", ".join(f"`{remedy}`" for remedy in LADDERS[name])
        parts += ["## Remedies", f"{told} ([what they do](../remedies.md))"]
    switch = f"`monitors: {{{name}: false}}` switches it off. [All monitors and policies](README.md)"
    shown = next((field for field, default in defaults.items() if not isinstance(default, str)), None)
    if shown is None:
        return _page([*parts, switch])
    example = f"monitors:\n  {name}: {{{shown}: {_default(defaults[shown])}}}"
    return _page([*parts, "In a recipe:", _fenced("yaml", example), switch])


def _settings(kind: Any, title: str) -> list[str]:
    """Return the table of a struct's fields; empty where it has none."""
    told = _field_docstrings(kind)
    properties = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    rows = [
        [f"`{name}`", _type(properties[name], {}), f"`{_default(default)}`", told[name]]
        for name, default in zip(kind.__struct_fields__, kind.__struct_defaults__, strict=True)
    ]
    return [_table([title, "type", "default", "meaning"], rows)] if rows else []


def _field_docstrings(kind: Any) -> dict[str, str]:
    """Return the string that stands below each field in the source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    told = {}
    for field, below in itertools.pairwise(body.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                told[name] = _cell(inspect.cleandoc(text))
    return told


def _model_rows(model: type[BaseModel], schema: Schema) -> list[str]:
    properties = schema["$defs"][model.__name__]["properties"]
    return _rows([_recipe_row(key, properties[key], schema) for key in model.model_fields])


def _recipe_row(key: str, about: Schema, schema: Schema) -> list[str]:
    default = f"`{_default(about['default'])}`" if "default" in about else "must be given"
    return [f"`{key}`", _type(about, schema), default, _cell(about.get("description", ""))]


def _rows(rows: Sequence[Sequence[str]]) -> list[str]:
    return [_table(["key", "type", "default", "meaning"], rows)] if rows else []


def _type(about: Schema, schema: Schema) -> str:
    """Return what may stand there: ``number > 0, ≤ 10``, ```a` or `b```, ``list of text``."""
    if "$ref" in about:
        name = about["$ref"].rsplit("/", 1)[-1]
        return {
            "Data": "[keys below](#data-the-keys-of-data)",
            "Stage": "[stage](#stages-the-keys-of-stages)",
        }[name]
    if "anyOf" in about:
        options = list(dict.fromkeys(_type(option, schema) for option in about["anyOf"]))
        return " or ".join(options)
    if "enum" in about:
        return " or ".join(f"`{choice}`" for choice in about["enum"])
    if "const" in about:
        return f"`{_default(about['const'])}`"
    match about.get("type"):
        case "array":
            return f"list of {_type(about['items'], schema)}" if about.get("items") else "list"
        case "object":
            inner = about.get("additionalProperties")
            values = _type(inner, schema) if isinstance(inner, dict) else ""
            return f"mapping to {values}" if values else "mapping"
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _bounds(about)
        case kind:
            return {"string": "text", "boolean": "`true` or `false`", "null": "`null`"}.get(
                str(kind), "anything"
            )


def _bounds(about: Schema) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    told = [
        f"{sign} {_default(about[key])}" for key, sign in signs.items() if key in about and about[key] < HUGE
    ]
    return f" {', '.join(told)}" if told else ""


def _default(value: Any) -> str:
    """Return `value` as a recipe spells it."""
    if not isinstance(value, float):
        return dump_value(value)
    if 0 < abs(value) < 1e-3:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"


def _first(module: Any) -> str:
    return (inspect.getdoc(module) or "").splitlines()[0]


def _prose(text: str | None) -> str:
    """Return a docstring as Markdown."""
    return (text or "").replace("``", "`")


def _cell(text: str) -> str:
    return " ".join(_prose(text).split()).replace("|", "\\|")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()

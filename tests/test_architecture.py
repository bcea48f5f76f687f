"""The layers of the house, read from its imports; and that files and functions stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "tunewell"
LAYERS = [
    {
        "problems",
        "recipe",
        "document",
        "strict_yaml",
        "mistakes",
        "records",
        "fact",
        "inspections",
        "actions",
        "plugins",
    },
    {"monitors", "policies", "schedules", "runs"},
    {"data", "tasks", "models", "objectives", "probes", "training"},
    {"search", "integrations"},
    {"web", "cli"},
]
HEAVY = {"torch", "transformers", "sklearn", "scipy"}
LIGHT = LAYERS[0] | LAYERS[1] | LAYERS[4] | {"data", "__init__", "__main__"}
"""Parts that must not import a heavy library when they are imported."""
FILES = sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def layer_of(part: str) -> int | None:
    return next((depth for depth, parts in enumerate(LAYERS) if part in parts), None)


def imports(tree: ast.AST, *, at_import_time: bool) -> set[str]:
    """Return the dotted names imported, those inside functions left out if only import time counts."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not (at_import_time and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            found |= imports(node, at_import_time=at_import_time)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_from_its_own_layer_and_those_above(path: Path) -> None:
    own = layer_of(part_of(path))
    if own is None:
        assert part_of(path) in {"__init__", "__main__"}, (
            f"{part_of(path)} belongs to no layer: add it to LAYERS"
        )
        return
    for name in imports(ast.parse(path.read_text(encoding="utf-8")), at_import_time=False):
        parts = name.split(".")
        if parts[0] == "tunewell" and len(parts) > 1 and (other := layer_of(parts[1])) is not None:
            assert other <= own, f"{name} is of a later layer"


@pytest.mark.parametrize(
    "path", [p for p in FILES if part_of(p) in LIGHT], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_light_parts_load_no_heavy_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    heavy = {name for name in imports(tree, at_import_time=True) if name.split(".")[0] in HEAVY}
    assert not heavy


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


def test_transformers_is_touched_only_by_models_tasks_and_its_own_callback() -> None:
    for path in FILES:
        names = imports(ast.parse(path.read_text(encoding="utf-8")), at_import_time=False)
        if any(name.split(".")[0] in {"transformers", "peft"} for name in names):
            is_callback = path == SOURCE / "integrations" / "transformers.py"
            assert part_of(path) in {"models", "tasks"} or is_callback, path

"""What the documentation says is there: generated pages, links, files, commands with their options."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from tunewell import cli, plugins

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
    if path.is_file()
)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date() -> None:
    pages = generator().pages()
    stale = [
        name_of(path) for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    assert not stale, "run: .venv/bin/python docs/generate.py"
    assert {path for path in pages if path.parent.name == "monitors"} == set(ROOT.glob("docs/monitors/*.md"))


def test_the_recipe_page_has_a_place_for_every_heading() -> None:
    module = generator()
    text = module.recipe_page()
    assert [heading for heading in module.PARTS.values() if f"\n## {heading}\n" not in text] == []


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for match in LINK.finditer(FENCE.sub("", text)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file) if file else page
        assert other.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(other.read_text("utf-8")), f"{name_of(page)} links to {target}"


def commands(page: Path) -> list[str]:
    """Return the shell commands of a page: lines of `sh` blocks, and of `console` blocks those after a prompt."""
    found = []
    for language, block in FENCE.findall(page.read_text("utf-8")):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "sh":
            found += lines
        elif language == "console":
            found += [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [command.partition(" #")[0].strip() for command in found if command.strip()]


COMMANDS = [(name_of(page), command) for page in PAGES for command in commands(page)]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_exist(page: str, command: str) -> None:
    for words in (shlex.split(part) for part in command.split(" && ")):
        program, arguments = Path(words[0]).name, words[1:]
        if program == "make":
            targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
            assert arguments[0] in targets
        elif program == "tunewell":
            assert arguments[0] in plugins.names("cli")
            cli._app().parse_args(arguments, exit_on_error=False)
        elif program == "python" and arguments[0] != "-m":
            assert (ROOT / arguments[0]).is_file()
        for word in words:
            if word.startswith(("examples/", "docs/")):
                assert (ROOT / word).exists()


def test_files_named_in_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))
    source = ROOT / "src" / "tunewell"
    absent = [name for name in named if not any((base / name).exists() for base in (source, ROOT))]
    assert named
    assert not absent

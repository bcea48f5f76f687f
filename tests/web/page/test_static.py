"""The page's files: what is vendored is what it says, and nothing there makes text into markup or asks elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import tunewell.web

STATIC = Path(tunewell.web.__file__).parent / "static"
OWN = sorted(
    path
    for path in STATIC.rglob("*")
    if path.suffix in {".js", ".css", ".html"} and "vendor" not in path.parts
)
MODULES = [path for path in OWN if path.suffix == ".js"]
FOLDERS = [STATIC / "vendor", Path(__file__).parent / "vendor"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_each_vendored_file_is_what_the_list_says_and_carries_its_licence(folder: Path) -> None:
    listed = json.loads((folder / "VENDORED.json").read_text(encoding="utf-8"))["files"]

    for one in listed:
        content = (folder / one["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"], one["file"]
        assert len((folder / one["license_file"]).read_text(encoding="utf-8")) > 500
        if "change" in one:
            published = content.replace(one["change"]["to"].encode(), one["change"]["from"].encode())
            assert hashlib.sha256(published).hexdigest() == one["sha256_published"]
    there = {path.name for path in folder.iterdir() if path.suffix in {".js", ".mjs", ".css"}}
    assert there == {one["file"] for one in listed}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_module_never_makes_markup_or_code_of_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    for forbidden in (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySetInnerHTML", "document.write", "eval(",
        "new Function", "setAttribute(\"style\"", "srcdoc", "javascript:",
    ):  # fmt: skip
        assert forbidden not in text, forbidden


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_file_names_no_other_host_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}", text)
    assert len(text.splitlines()) < 400


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_each_import_leads_to_a_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    for target in re.findall(r'(?:from|import) "([^"]+)"', text):
        assert target.startswith("."), f"{target}: a browser finds no bare names"
        assert (path.parent / target).resolve().is_file(), target


def test_the_page_holds_no_inline_script_or_style() -> None:
    text = (STATIC / "index.html").read_text(encoding="utf-8")

    assert "<style" not in text
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"\s(?:on[a-z]+|style)=", text)
    for address in re.findall(r'(?:href|src)="/static/([^"]+)"', text):
        assert (STATIC / address).is_file(), address

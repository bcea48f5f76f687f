"""Every kind of bad input, given to the command line: what a user sees, compared with the kept texts.

    python -m benchmarks.reliability.bad_inputs             # compare all
    python -m benchmarks.reliability.bad_inputs --update    # rewrite the kept texts and docs/bad_inputs.md

A case is a folder of tests/bad_inputs with its input files and `expected.txt`: a title, then commands after a ``$``,
each with what the terminal shows and its exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unittest import mock

from benchmarks.reliability import bad_files
from benchmarks.reliability.tiny import make_tiny_bert

FOLDER = Path(__file__).parents[2] / "tests" / "bad_inputs"
PAGE = FOLDER.parents[1] / "docs" / "bad_inputs.md"
_PAGE = """\
<!-- Written by benchmarks/reliability/bad_inputs.py: change the code or the kept texts, not this page. -->

# Bad inputs, and what is answered

Before a model's weights are loaded, all of the input is looked at. What can be used is used, and what was done to it
is said; what can't is refused: up to 20 problems at once, each with its file, line and key or column, the
value found and how to mend it. Nothing is started then, nothing is overwritten, and the exit code is 2. With
`--skip-bad` (`data.skip_bad: true` in a recipe) a training goes on without the bad rows, and its record says which.

```sh
tunewell check recipe.yaml      # a recipe with its data and its model
tunewell check reviews.csv      # data alone: rows, chats, a folder of images or of recordings
```

These {number} are tried by the tests, each from its folder below
[tests/bad_inputs](../tests/bad_inputs) where the whole answer is kept, word
for word. From Python the same problems come as `RecipeError`, `DataError`, `ModelError` or `RunError`, all of them
`InputError`, with `problems[0].file`, `.line`, `.field` and `.fix`.

To repeat it: `python -m benchmarks.reliability.bad_inputs`

| | given | answered (of several, the first) | where |
| --- | --- | --- | --- |
{table}
"""
_ORDINARY = re.compile(
    r"[\d,]+ (rows|images|recordings) read|(train|validation|test): |  (characters|tokens): |note: (label|text|problem): "
    r"|note: labels: \S+ → |\(the plan\)|\S+ is good to go|The \w+ of |next: |width |[\d.]+ s in all"
)
"""Lines that are said of good files too."""
_TEMPORARY_FILE = tempfile.TemporaryFile
_PLAN = re.compile(r"^model: .*?(?=^\S+ is good to go)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One kind of bad input: a folder of files, and the text that is expected."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder, such as ``04_byte_order_mark``."""
        return self.folder.name

    @property
    def expected(self) -> str:
        """The kept text."""
        return (self.folder / "expected.txt").read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """What is given, in words."""
        return self.expected.splitlines()[0].removeprefix("# ")

    @property
    def commands(self) -> list[str]:
        """The command lines, in order."""
        return [line.removeprefix("$ ") for line in self.expected.splitlines() if line.startswith("$ ")]


def cases() -> list[Case]:
    """Return every case in the order of its number."""
    return [Case(path.parent) for path in sorted(FOLDER.glob("[0-9]*/expected.txt"))]


@contextlib.contextmanager
def laid_out(case: Case, model: Path) -> Iterator[Path]:
    """Lay the files of `case` out in a temporary folder, the current one meanwhile; `model` is a tiny BERT's."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "here"
        shutil.copytree(case.folder, folder, ignore=shutil.ignore_patterns("expected.txt"))
        bad_files.make(case.name, folder, model)
        os.chdir(folder)
        try:
            with mock.patch("tempfile.TemporaryFile", _trial_file):
                yield folder
        finally:
            os.chdir(before)


def _trial_file(dir: Path) -> IO[bytes]:
    """Stand in for `tempfile.TemporaryFile`: folders that are called so are on a disk that is read-only, or full."""
    refused = {"read_only": errno.EROFS, "full": errno.ENOSPC}.get(Path(dir).name)
    if refused is not None:
        raise OSError(refused, os.strerror(refused))
    return _TEMPORARY_FILE(dir=dir)


def shown(case: Case, model: Path) -> str:
    """Return what the terminal shows for the commands of `case`, with the title: to compare with `expected`."""
    with laid_out(case, model) as folder:
        answers = [f"$ {command}\n{_plain(_told(command), folder)}" for command in case.commands]
    return "".join([f"# {case.title}\n", *answers])


def _told(command: str) -> str:
    """Run one command line in this process; return what it prints and its exit code."""
    from tunewell.cli import main

    program, *tokens = shlex.split(command)
    assert program == "tunewell", command
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        code = main(tokens)
    return f"{screen.getvalue()}[exit {code}]\n"


def _plain(text: str, folder: Path) -> str:
    """Take out what differs from machine to machine: the folder, and the plan with its estimates."""
    return _PLAN.sub("(the plan)\n", text.replace(f"{folder}/", "").replace(str(folder), "."))


def page() -> str:
    """Return docs/bad_inputs.md, made of the kept texts."""
    rows = [_row(case) for case in cases()]
    return _PAGE.format(table="\n".join(rows), number=len(rows))


def _row(case: Case) -> str:
    lines = case.expected.splitlines()
    number = int(case.name[:2])
    given = f"[{case.title}](../tests/bad_inputs/{case.name}/expected.txt)"
    first = next(i for i, line in enumerate(lines) if line.startswith(("error[", "[exit")))
    if lines[first].startswith("[exit"):
        answer = " · ".join(_remarkable(lines)) or "read as if nothing were odd"
        return f"| {number} | {given} | {_cell(answer)} | |"
    message = lines[first].partition(": ")[2]
    place = lines[first + 1].strip().removeprefix("--> ")
    fix = lines[first + 2].strip() if lines[first + 2].startswith("  ") else ""
    return f"| {number} | {given} | {_cell(message)}<br>*{_cell(fix)}* | `{_cell(place)}` |"


def _remarkable(lines: list[str]) -> list[str]:
    """Return what the first command says besides what is said of every good file."""
    shown = lines[2 : next(i for i, line in enumerate(lines) if line.startswith("[exit"))]
    return [line.strip().removeprefix("note: ") for line in shown if not _ORDINARY.match(line)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Compare or rewrite the kept texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--update", action="store_true", help="rewrite the kept texts")
    parser.add_argument("--only", default="", help="only cases whose name begins so")
    asked = parser.parse_args()
    different = []
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"TUNEWELL_CACHE": f"{name}/cache", "HF_HUB_OFFLINE": "1"}
        model = make_tiny_bert(Path(name) / "model")
        for case in cases():
            if not case.name.startswith(asked.only):
                continue
            text = shown(case, model)
            if text != case.expected:
                different.append(case.name)
                if asked.update:
                    (case.folder / "expected.txt").write_text(text, encoding="utf-8")
    if asked.update:
        PAGE.write_text(page(), encoding="utf-8")
    print(f"{len(different)} differ: {', '.join(different) or 'none'}", file=sys.stderr)


if __name__ == "__main__":
    main()

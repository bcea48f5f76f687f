"""Errors in words: bad input with place and fix, a defect of ours with the file that holds its traceback."""

from __future__ import annotations

import dataclasses
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewell import __version__
from tunewell.cli._terminal import next_command, say
from tunewell.problems import InputError, Problem

SHOWN = 20
"""Problems told at once."""


def tell_problems(error: InputError, verb: str, arguments: Mapping[str, Any]) -> None:
    """Print each problem, how many there are, and the command that comes next."""
    asked = arguments.get("recipe") or arguments.get("recipe_or_data")
    problems = [_placed(problem, asked, arguments.get("overrides") or ()) for problem in error.problems]
    for problem in problems[:SHOWN]:
        say(str(problem), style="problem")
    total = len(problems)
    files = {problem.file for problem in problems if problem.file and not problem.file.startswith("--")}
    where = f" in {next(iter(files))}" if len(files) == 1 else ""
    shown = f", the first {SHOWN} of them above" if total > SHOWN else ""
    say(f"{total:,} problem{'s' * (total != 1)}{where}{shown}. Nothing was started.")
    if asked is not None and os.path.exists(asked):  # which, unlike Path.exists, takes any name
        next_command(f"tunewell check {shlex.quote(str(asked))}")
    elif {problem.kind for problem in problems} == {"run"}:
        next_command("tunewell runs")
    else:
        next_command(f"tunewell {verb} --help")


def tell_broken(error: InputError, run: Path) -> None:
    """Print what broke a run that had begun, such as a full disk, and how to go on."""
    for problem in error.problems[:SHOWN]:
        say(str(problem), style="problem")
    say(f"The run was cut short; what is saved in {run} is safe.")
    next_command(f"tunewell resume {shlex.quote(str(run))}")


def _placed(problem: Problem, recipe: Path | None, overrides: Sequence[str]) -> Problem:
    """Say where a problem's key stands: in the recipe's line, or on the command line.

    A data file that is bad as a whole is then named beside it.
    """
    is_placed = problem.line is not None or problem.file.startswith("--set")
    if is_placed or recipe is None or recipe.suffix not in {".yaml", ".yml"}:
        return problem
    from tunewell.document import line_of
    from tunewell.recipe import Recipe

    if problem.field.partition(".")[0] not in Recipe.model_fields:
        return problem
    named = f" ({problem.file})" if problem.file and problem.file != str(recipe) else ""
    given = next((o for o in reversed(overrides) if o.partition("=")[0].strip() == problem.field), None)
    if given is not None:
        named = "" if problem.file in given else named
        return dataclasses.replace(problem, file=f"--set {given}{named}", field="")
    line = line_of(recipe, problem.field) if os.path.isfile(recipe) else None
    return dataclasses.replace(problem, file=str(recipe), line=line, field=problem.field + named)


def tell_defect(error: BaseException, arguments: Mapping[str, Any]) -> None:
    """Print one plain paragraph about an error that nobody expected; its traceback goes to a file."""
    file = _folder(arguments) / time.strftime("crash-%Y%m%d-%H%M%S.txt")
    versions = f"tunewell {__version__}, Python {platform.python_version()}, {platform.platform()}"
    trace = "".join(traceback.format_exception(error))
    try:
        file.write_text(f"{versions}\n{shlex.join(sys.argv)}\n\n{trace}", encoding="utf-8")
        where = f"The details are in {file}; please send them with your report."
    except OSError as refused:
        where = f"The details could not be written to {file} ({refused.strerror})."
    what = str(error).strip().splitlines()
    say(
        f"error: tunewell met something that it did not expect ({type(error).__name__}{': ' + what[0] if what else ''})."
    )
    say(f"This is a defect of tunewell or of a library, not of your input. {where}")


def _folder(arguments: Mapping[str, Any]) -> Path:
    run = arguments.get("run")
    for folder in (Path(str(run)), Path("runs") / str(run)) if run is not None else ():
        if os.path.isfile(folder / "log.jsonl"):  # which, unlike Path.is_file, takes any name
            return folder
    return Path(tempfile.gettempdir())

"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

RecipeFile = Annotated[Path, Parameter(help="The recipe (YAML).")]
RunName = Annotated[str, Parameter(help="Name or folder of a run, or the beginning of its name.")]
Overrides = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        help="Change a setting, such as learning_rate=3e-5 or data.max_length=128 (repeatable).",
    ),
]
SkipBad = Annotated[
    bool, Parameter(help="Leave bad rows or files out, and say which, in place of refusing all.")
]
AsJson = Annotated[bool, Parameter(name="--json", help="Print JSON for programs.")]

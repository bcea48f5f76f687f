"""`tunewell init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def init(
    data: Annotated[str, Parameter(help="File of labelled rows (or a folder with train and test files).")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Where to write the recipe.")] = Path("recipe.yaml"),
) -> None:
    """Look at data and write a commented recipe that fits it.

    Example: tunewell init reviews.csv --out reviews.yaml
    """
    import os
    import shlex

    from tunewell.cli._draft import draft
    from tunewell.cli._terminal import next_command, say
    from tunewell.problems import Problem, RecipeError

    used = Problem("recipe", "there is a file already", str(out), fix="give another name: --out NAME.yaml")
    if os.path.exists(out):
        raise RecipeError(used)
    seen, text = draft(data, out.parent)
    for line in seen:
        say(line)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise RecipeError(used) from error
    except OSError as error:
        problem = Problem(
            "disk", f"can't write the recipe: {error.strerror}", str(out), fix="choose another --out"
        )
        raise RecipeError(problem) from error
    say(f"Wrote {out}: read it, change what you like.")
    next_command(f"tunewell check {shlex.quote(str(out))}")

"""`tunewell diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson


def diagnose(
    path: Annotated[
        Path,
        Parameter(
            help="A log, or the folder of one: trainer_state.json, TensorBoard events, CSV, JSON lines (W&B export)."
        ),
    ],
    /,
    *,
    column: Annotated[
        list[str] | None,
        Parameter(
            help="Which column is what, where the guess is wrong, such as loss=objective (repeatable)."
        ),
    ] = None,
    classes: Annotated[
        int, Parameter(help="Classes of a classifier, where the log does not tell: says what guessing costs.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Tell from the log of any other tool's run what went wrong in it, and when.

    Example: tunewell diagnose outputs/checkpoint-500
    """
    import sys

    import msgspec

    from tunewell.integrations.logs import as_text, diagnosed, read, told

    diagnosis = told(diagnosed(read(path), _by_role(column or []), classes))
    if as_json:
        print(msgspec.json.encode(diagnosis).decode())
    else:
        sys.stdout.write(as_text(diagnosis))


def _by_role(asked: list[str]) -> dict[str, str]:
    """Return columns by role from ``ROLE=COLUMN`` texts; raises `LogError` for one without a ``=``."""
    from tunewell.problems import LogError, Problem

    bad = [text for text in asked if "=" not in text]
    if bad:
        fix = "give it as ROLE=COLUMN, such as loss=objective"
        raise LogError(
            [Problem("log", f"no column is named in `{text}`", "--column", fix=fix) for text in bad]
        )
    return {role: name for role, _, name in (text.partition("=") for text in asked)}

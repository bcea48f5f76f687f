"""What a check found, told."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from tunewell.cli._codes import DONE
from tunewell.cli._terminal import aligned, next_command, say
from tunewell.document import Document


def tell_report(document: Document, file: Path, *, as_json: bool) -> int:
    """Check the recipe of `document`, read from `file`, and print what was found; return the exit code."""
    import msgspec

    from tunewell.training import driver

    report = driver.check(document.recipe, document.base)
    if as_json:
        print(msgspec.json.encode(report).decode())
        return DONE
    for line in report.ledger.lines():
        print(line)
    facts = [(name.replace("_", " ") + ":", _told(value)) for name, value in report.plan.items()]
    for line in aligned(facts):
        print(line)
    say(f"{file} is good to go.", style="green")
    next_command(f"tunewell train {shlex.quote(str(file))}")
    return DONE


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value)) or "none"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return str(value)

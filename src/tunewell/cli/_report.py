"""What a check found, told."""

from __future__ import annotations

import dataclasses
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tunewell.cli._codes import DONE
from tunewell.cli._events import event
from tunewell.cli._progress import duration
from tunewell.cli._terminal import aligned, next_command, say
from tunewell.document import Document
from tunewell.runs.data_checks import in_full

if TYPE_CHECKING:
    from tunewell.training.estimate import Estimate


def tell_report(document: Document, file: Path, *, as_json: bool, quick: bool = False) -> int:
    """Check the recipe of `document`, read from `file`, and print what was found; return the exit code.

    Unless it has to be `quick`, a dry step tells what the training will cost.
    """
    from tunewell.training import driver
    from tunewell.training.estimate import estimate

    began = time.perf_counter()
    prepared = driver.checked(document.recipe, document.base)
    report, seconds = driver.report(prepared), time.perf_counter() - began
    if not as_json:
        for line in [*report.ledger.lines(), *aligned(in_full(report.data)), *_aligned_facts(report.plan)]:
            print(line, flush=True)
        for finding in report.findings:
            if told := event(finding):
                say(*told)
    if not quick:
        say("A few updates are measured and thrown away (--quick leaves that out) …")
        report = dataclasses.replace(report, estimate=estimate(prepared, prepared_in=seconds))
    if as_json:
        print(msgspec.json.encode(report).decode())
        return DONE
    if report.estimate is not None:
        for line in aligned(costs(report.estimate)):
            print(line)
        for warning in report.estimate.warnings:
            say(f"warning: {warning}", style="yellow")
    say(f"{file} is good to go.", style="green")
    next_command(f"tunewell train {shlex.quote(str(file))}")
    return DONE


def _aligned_facts(plan: dict[str, Any]) -> list[str]:
    return aligned([(name.replace("_", " ") + ":", _told(value)) for name, value in plan.items()])


def costs(expected: Estimate) -> list[tuple[str, str]]:
    """Return what a training will cost, in words."""
    from tunewell.training.space import in_words

    limit, free = in_words(expected.memory_limit_bytes), in_words(expected.free_disk_bytes)
    costs = [
        ("memory:", f"{in_words(expected.memory_bytes)} at most, of {limit}"),
        ("disk:", f"{in_words(expected.disk_bytes)} at most, of {free} free"),
    ]
    if expected.seconds is None or expected.total_seconds is None:
        return costs
    parts = (f"{name} {duration(value)}" for name, value in msgspec.structs.asdict(expected.seconds).items())
    return [("time:", f"about {duration(expected.total_seconds)} ({', '.join(parts)})"), *costs]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value)) or "none"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return str(value)

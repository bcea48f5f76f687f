"""`tunewell runs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson

if TYPE_CHECKING:
    from tunewell.runs.summary import Summary

_WORDS = {
    "running": "running",
    "paused": "paused",
    "completed": "completed",
    "stopped": "stopped by its policy",
    "interrupted": "interrupted",
    "failed": "failed",
    "crashed": "died without a word",
    "unreadable": "can't be read",
}


def runs(
    root: Annotated[Path, Parameter(help="Folder of the runs.")] = Path("runs"), /, *, as_json: AsJson = False
) -> None:
    """List the runs, the newest first, each with its status in words.

    Example: tunewell runs
    """
    import msgspec

    from tunewell.cli._terminal import aligned, next_command, say
    from tunewell.runs.summary import list_runs

    found = list_runs(root)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    if not found:
        say(f"There are no runs in {root}.")
        next_command("tunewell train RECIPE")
        return
    for line in aligned(
        [("run", "status", "step", "validation", "test", "findings"), *map(_row, found)], right=[2]
    ):
        print(line)
    dead = next((each for each in found if each.status in {"crashed", "interrupted"}), None)
    paused = next((each for each in found if each.status == "paused"), None)
    if paused is not None:
        next_command(f"tunewell ctl {paused.name} resume")
    else:
        next_command(f"tunewell resume {dead.name}" if dead else f"tunewell why {found[0].name}")


def _row(run: Summary) -> tuple[str, str, str, str, str, str]:
    seen = ", ".join(f"{count} {severity}" for severity, count in run.findings.items())
    status = _WORDS[run.status] + (
        f" ({run.reason})" if run.status in {"failed", "stopped", "unreadable"} else ""
    )
    return (
        run.name,
        status,
        f"{run.step:,}/{run.total_steps:,}",
        _score(run.best_eval.metrics if run.best_eval else {}),
        _score(run.test_after.metrics if run.test_after else {}),
        seen or "none",
    )


def _score(metrics: dict[str, float]) -> str:
    name = next(iter(metrics), None)
    return "–" if name is None else f"{name} {metrics[name]:.3f}"

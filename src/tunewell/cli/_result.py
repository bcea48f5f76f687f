"""What came of a run, told at its end."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path

from tunewell.cli._progress import duration
from tunewell.cli._terminal import next_command, say
from tunewell.records import Eval
from tunewell.runs import log
from tunewell.runs.folder import RunFolder
from tunewell.runs.story import Story, why
from tunewell.runs.summary import Summary, summarize

_WIDTH = 100
_SHOWN_INCIDENTS = 5


def tell_result(path: Path) -> None:
    """Print scores before and after, where the model is, what the monitors saw, and what to run next."""
    run = RunFolder(path)
    summary = summarize(path)
    story = why(list(log.read(run.log)))
    say("")
    say("\n".join(result_lines(summary, story, model=run.model.is_dir())))
    for command in commands(summary, story, str(path), model=run.model.is_dir()):
        next_command(command)


def result_lines(summary: Summary, story: Story, *, model: bool) -> list[str]:
    """Return the result in lines of at most 100 columns."""
    ended = summary.status if summary.status != "running" else "ended"
    reason = f": {summary.reason}" if summary.reason else ""
    lines = [
        f"{summary.name} {ended} at step {summary.step:,} of {summary.total_steps:,} after "
        f"{duration(summary.seconds)}{reason}"
    ]
    facts = {
        "test": _before_and_after(summary.test_before, summary.test_after),
        "validation": _before_and_after(summary.first_eval, summary.best_eval),
        "model": str(Path(summary.path) / "model") if model else "",
        "monitors": _monitors(story),
    }
    for name, told in facts.items():
        if told:
            lines += _hanging(f"  {name:<11}", told)
    for incident in story.incidents[:_SHOWN_INCIDENTS]:
        lines += _hanging("    ▲ ", f"step {incident.first_step:,}  {incident.code}: {incident.seen[0]}")
        lines += [line for deed in incident.deeds for line in _hanging("      → ", deed.detail or deed.what)]
    for unchecked in story.unchecked:
        lines += _hanging("    ? ", unchecked.replace(": could not be checked:", ":"))
    return lines


def commands(summary: Summary, story: Story, path: str, *, model: bool) -> list[str]:
    """Return the commands that serve next, the likeliest first."""
    run = shlex.quote(path)
    found = []
    if summary.status in {"interrupted", "failed", "crashed"}:
        found.append(f"tunewell resume {run}")
    if story.incidents or summary.status in {"stopped", "failed"}:
        found.append(f"tunewell why {run}")
    if model:
        found.append(f'tunewell predict {run} "your text"')
    return found or [f"tunewell why {run}"]


def _before_and_after(before: Eval | None, after: Eval | None) -> str:
    """Return each metric as ``accuracy 0.512 → 0.861``."""
    if before is None and after is None:
        return ""
    last = after or before
    assert last is not None
    first = before.metrics if before is not None and before is not last else {}
    parts = []
    for name, value in last.metrics.items():
        start = f"{first[name]:.3f} → " if name in first else ""
        parts.append(f"{name} {start}{value:.3f}")
    came = " (before fine-tuning → after)" if first else ""
    return " · ".join(parts or [f"loss {last.loss:.4g}"]) + f" on {last.rows:,} rows{came}"


def _monitors(story: Story) -> str:
    looked, blind = len(story.checked), len(story.unchecked)
    could_not = f"; {blind} could not be checked" if blind else ""
    if story.incidents:
        count = len(story.incidents)
        return f"{count} finding{'s' * (count != 1)}; {looked} checked and fine{could_not}"
    if looked:
        return f"{looked} monitors checked, nothing found{could_not}"
    return f"no finding so far{could_not}"


def _hanging(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]

"""What is told of a record once, in a line: evaluations, findings, actions, stages; steps are not events."""

from __future__ import annotations

from tunewell.cli._progress import scores
from tunewell.inspections import DataChecked, Tested
from tunewell.records import (
    Acted,
    Answered,
    Eval,
    Finding,
    Note,
    Record,
    Refused,
    Rewound,
    StageBegan,
    Started,
)
from tunewell.runs.data_checks import in_brief
from tunewell.runs.wording import describe, intended

_MARKS = {"info": "·", "warning": "▲", "critical": "✖"}
_COLOURS = {"info": "", "warning": "yellow", "critical": "red"}


def event(record: Record) -> tuple[str, str] | None:
    """Return the line that tells `record` and its style, or None for one that is not told."""
    match record:
        case Started():
            return _started(record), "bold"
        case StageBegan():
            trained = f"{_count(record.trainable_parameters)} of {_count(record.total_parameters)} parameters trained"
            return f"stage {record.stage + 1}, {record.name}: to step {record.last_step:,}, {trained}", ""
        case Eval():
            best = ", best so far" if record.best else ""
            return f"step {record.step:,}  {record.split}: {scores(record)}{best}", ""
        case DataChecked():
            return f"· {in_brief(record)}", "dim"
        case Tested(passed=False):
            return f"▲ self-test {record.name.replace('_', ' ')}: {record.detail}", "yellow"
        case Finding():
            first = f" What to do: {record.advice[0]}" if record.advice else ""
            line = f"{_MARKS[record.severity]} step {record.step:,}  {record.code}: {record.summary}{first}"
            return line, _COLOURS[record.severity]
        case Acted() | Answered() | Refused():
            return _deed(record)
        case Rewound():
            exact = "" if record.exact else f", approximately: {record.detail}"
            if record.reason == "resume":
                return f"resumed at step {record.to_step:,} from checkpoint {record.commit}{exact}", "bold"
            return f"went back from step {record.step:,} to step {record.to_step:,}", "cyan"
        case Note(topic="stall"):
            return f"· {record.text.partition(chr(10))[0]}", "yellow"  # the stacks are in the log
        case Note() if record.topic != "verdict":
            return f"· {record.text}", "dim"
    return None


def _deed(record: Acted | Answered | Refused) -> tuple[str, str]:
    """Return the line of what was done, by whom, and its style."""
    match record:
        case Acted(by="recipe", outcome="applied"):
            return f"→ step {record.step:,}  {record.detail or describe(record.action)}", ""
        case Acted() if record.request:
            told = record.detail or describe(record.action)
            verdict = (
                "" if record.outcome == "applied" else f"to {intended(record.action)} is {record.outcome}: "
            )
            return f"→ step {record.step:,}  {record.by}: {verdict}{told}", "cyan"
        case Refused():
            return f"→ step {record.step:,}  {record.by}: refused: {record.reason}", "cyan"
        case Answered():
            verb = "approved" if record.approved else "declined"
            return f"→ step {record.step:,}  {record.by} {verb} proposal {record.id}", "cyan"
        case Acted():
            told = record.detail or describe(record.action)
            verdict = "" if record.outcome == "applied" else f" ({record.outcome})"
            return f"→ step {record.step:,}  {record.by}: {told}{verdict}; because {record.reason}", "cyan"


def _started(record: Started) -> str:
    rows = ", ".join(f"{count:,} {split} rows" for split, count in record.num_rows.items())
    trained = f"{_count(record.trainable_parameters)} of {_count(record.total_parameters)} parameters trained"
    return f"{record.run}: {record.total_steps:,} steps, {record.batches_per_epoch:,} an epoch; {rows}; {trained}"


def _count(number: int) -> str:
    return f"{number / 1e6:,.1f} M" if number >= 1e5 else f"{number:,}"

"""What a report is made of: the record of a run and the small files beside it, read once."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tunewell.document import load_recipe
from tunewell.inspections import DataChecked, RowsReviewed, Tested
from tunewell.problems import InputError
from tunewell.recipe import Recipe
from tunewell.records import Committed, Ended, Eval, Record, StageBegan, Started, Step
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.runs.folder import RunFolder
from tunewell.runs.story import Story, why
from tunewell.runs.timeline import timeline

R = TypeVar("R", bound=Record)

_SHOWN_SUSPECTS = 25
_MOST_BYTES = 1 << 24
"""Of a file beside the record; a larger one is passed over."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the parts of a report read."""

    run: RunFolder
    log: list[Record]
    line: list[Record]
    """The log without what was undone."""
    story: Story
    started: Started | None
    ended: Ended | None
    steps: list[Step]
    undone: list[Step]
    """Updates that a rollback or a resume undid, in the order of the log."""
    evals: list[Eval]
    stages: list[StageBegan]
    tests: list[Tested]
    data_checked: DataChecked | None
    reviewed: RowsReviewed | None
    suspects: list[dict[str, str]]
    """The surest suspected rows, with their texts where `review.csv` has them."""
    ledger: dict[str, Any]
    """What became of the rows; empty where it can't be read."""
    recipe: Recipe | None
    commits: list[Committed]
    present: set[int]
    """Numbers of the checkpoints that are still there."""
    pinned: set[int]

    @property
    def span(self) -> tuple[float, float]:
        """First and last step of the charts."""
        last = max((step.step for step in (*self.steps, *self.undone)), default=0)
        return 0.0, float(max(last, *(record.step for record in self.evals), 1))

    @property
    def seconds(self) -> float:
        """Time from the first to the last record, pauses between sessions included."""
        times = [record.time for record in self.log if record.time]
        return max(times) - min(times) if times else 0.0

    def evals_on(self, split: str) -> list[Eval]:
        """Return the evaluations on `split`, oldest first."""
        return [record for record in self.evals if record.split == split]


def gather(run: RunFolder, log: Sequence[Record] | None = None) -> Facts:
    """Return the facts of the run in `run`; raises `RunError` where there is no log. `log`: its records, if known."""
    log = list(logs.read(run.log)) if log is None else list(log)
    line = timeline(log)
    kept = {id(record) for record in line if isinstance(record, Step)}
    reviewed = _last(log, RowsReviewed)
    there = checkpoints.commits(run.checkpoints) if run.checkpoints.is_dir() else []
    return Facts(
        run=run,
        log=log,
        line=line,
        story=why(log),
        started=_last(log, Started),
        ended=_last(line, Ended),
        steps=[record for record in line if isinstance(record, Step)],
        undone=[record for record in log if isinstance(record, Step) and id(record) not in kept],
        evals=[record for record in line if isinstance(record, Eval)],
        stages=[record for record in line if isinstance(record, StageBegan)],
        tests=[record for record in log if isinstance(record, Tested)],
        data_checked=_last(log, DataChecked),
        reviewed=reviewed,
        suspects=_suspects(run.path / "review.csv") or _told(reviewed),
        ledger=_json(run.ledger),
        recipe=_recipe(run.recipe),
        commits=[record for record in line if isinstance(record, Committed)],
        present={commit.commit for commit in there},
        pinned={commit.commit for commit in there if commit.pinned},
    )


def _last(records: Sequence[Record], kind: type[R]) -> R | None:
    return next((record for record in reversed(records) if isinstance(record, kind)), None)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _recipe(path: Path) -> Recipe | None:
    try:
        return load_recipe(path)
    except (InputError, OSError):
        return None


def _suspects(path: Path) -> list[dict[str, str]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return []
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row, _ in zip(csv.DictReader(file), range(_SHOWN_SUSPECTS), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [{str(key): str(value or "") for key, value in row.items()} for row in rows]


def _told(reviewed: RowsReviewed | None) -> list[dict[str, str]]:
    """Return what the record itself says of suspected rows: all but their texts."""
    suspects = reviewed.suspects if reviewed is not None else []
    return [
        {
            "row": str(one.row),
            "confidence": f"{one.confidence:.3f}",
            "given": one.given,
            "suggested": one.suggested,
        }
        for one in suspects[:_SHOWN_SUSPECTS]
    ]

"""What a run came to: the record without the steps that a rollback or a resume undid."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tunewell.records import Committed, Ended, Eval, Record, Rewound, StageBegan, Step


def timeline(records: Iterable[Record]) -> list[Record]:
    """Return `records` in order, without measurements and commits that a later `Rewound` undid.

    What was seen and done (findings, actions, notes, the rewinds themselves) stays, so the story stays visible.
    An `Ended` after which the run went on is left out as well.
    """
    log = list(records)
    committed_at: dict[int, int] = {}
    origin: dict[int, int] = {}  # place of a Rewound -> place of the Committed that it went back to
    for place, record in enumerate(log):
        if isinstance(record, Committed):
            committed_at[record.commit] = place
        elif isinstance(record, Rewound) and record.commit in committed_at:
            origin[place] = committed_at[record.commit]

    kept: list[Record] = []
    to_step: float = math.inf  # what the course that is being read, backwards, came to
    since: float = math.inf  # place of the commit gone back to: what was measured after it was given up
    went_on = False
    for place in range(len(log) - 1, -1, -1):
        record = log[place]
        if isinstance(record, Rewound):
            went_on = went_on or record.reason == "resume"
            is_given_up = since <= place < math.inf  # it led to a course that was left for an earlier commit
            if place in origin and not is_given_up:
                to_step, since = record.to_step, origin[place]
            elif record.to_step <= to_step and not is_given_up:
                to_step, since = record.to_step, math.inf
        elif isinstance(record, Step | Eval | Committed | StageBegan):
            if record.step > to_step or since < place:
                continue
        elif isinstance(record, Ended) and went_on:
            continue
        kept.append(record)
    kept.reverse()
    return kept


def curve(records: Iterable[Record], field: str, split: str | None = None) -> list[tuple[int, float]]:
    """Return the points (step, value) of one line on a chart.

    Without `split`, `field` is a number of each `Step`, such as ``loss``; with it, ``loss`` or a metric of the
    evaluations on that split. Records that lack the field are passed over.
    """
    points: list[tuple[int, float]] = []
    for record in records:
        if isinstance(record, Step) and split is None:
            value = getattr(record, field)
        elif isinstance(record, Eval) and record.split == split:
            value = record.loss if field == "loss" else record.metrics.get(field)
        else:
            continue
        if value is not None:
            points.append((record.step, float(value)))
    return points

"""Where runs differ: the settings that are not the same, and what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tunewell.records import Eval
from tunewell.runs import control
from tunewell.runs.summary import summary_of
from tunewell.runs.timeline import timeline
from tunewell.web.listing import label_of, row
from tunewell.web.story import recipe_text, settings, timeline_of
from tunewell.web.watched import WatchedRun

_UNLIKE = {"name", "output_dir"}


def compared(runs: Sequence[WatchedRun]) -> dict[str, Any]:
    """Return the settings in which `runs` differ, their scores, and a row of each."""
    asked, rows, evals = [], [], []
    for run in runs:
        with run.lock:
            run.refresh()
            line = timeline_of(run.log)
            summary = summary_of(run.folder, line)
            rows.append(row(run.id, summary, label_of(run.folder), paused=control.is_paused(line)))
            evals.append([one for one in timeline(run.log.records) if isinstance(one, Eval)])
            asked.append(settings(recipe_text(run)))
    return {
        "settings": _differing(asked),
        "scores": _scores(evals),
        "runs": [msgspec.to_builtins(one) for one in rows],
    }


def _differing(asked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = dict.fromkeys(key for one in asked for key in one if key not in _UNLIKE)
    found = []
    for key in keys:
        values = [one.get(key) for one in asked]
        if any(value != values[0] for value in values):
            found.append({"key": key, "values": values})
    return found


def _scores(evals: Sequence[Sequence[Eval]]) -> list[dict[str, Any]]:
    """Return best and last of each metric, by run; None where a run has none."""
    names = dict.fromkeys(
        (one.split, name) for each in evals for one in each for name in ["loss", *one.metrics]
    )
    found = []
    for split, name in names:
        best: list[float | None] = []
        last: list[float | None] = []
        at_step: list[int | None] = []
        for each in evals:
            values = [
                (one.loss if name == "loss" else one.metrics[name], one.step)
                for one in each
                if one.split == split and (name == "loss" or name in one.metrics)
            ]
            pick = min if name == "loss" else max
            top = pick(values, default=None, key=lambda value: value[0])
            best.append(top[0] if top else None)
            at_step.append(top[1] if top else None)
            last.append(values[-1][0] if values else None)
        found.append({"metric": f"{split}.{name}", "best": best, "last": last, "at_step": at_step})
    return found

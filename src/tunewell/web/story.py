"""Everything about a run but its curves: what it is, how it is doing, what happened, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tunewell.records import Acted, Committed, Eval, Record, StageBegan
from tunewell.runs import checkpoints, control, inbox, requests
from tunewell.runs.excerpt import excerpt
from tunewell.runs.health import health, is_open, said
from tunewell.runs.incidents import Incident, incidents
from tunewell.runs.live import LiveLog
from tunewell.runs.summary import summary_of
from tunewell.runs.timeline import timeline
from tunewell.runs.wording import intended
from tunewell.web.flags import flags, incident_ids
from tunewell.web.listing import label_of, row
from tunewell.web.pace import eta_seconds, planned_rates, progress, rates
from tunewell.web.series import series_of
from tunewell.web.watched import WatchedRun

_MOST_ASKED = 100
_MOST_EVALS = 2_000
_MOST_RECIPE = 256 << 10
_SPARK_POINTS = 60


def overview(run: WatchedRun) -> dict[str, Any]:
    """Return the overview of `run` as its log stands; call it with its lock held."""
    if run.overview is None or run.overview[0] != run.story_version:
        run.overview = (run.story_version, _made(run))
    return {**run.overview[1], **moving(run), "cursor": cursor(run)}


def cursor(run: WatchedRun) -> str:
    """Return what a stream goes on from to get all that is newer than what is known of `run` now."""
    return f"{run.id}={run.log.generation}.{len(run.log.columns)}.{run.story_version}"


def moving(run: WatchedRun) -> dict[str, Any]:
    """Return what changes with every update."""
    log = run.log
    total = log.started.total_steps if log.started else 0
    return {
        "progress": progress(log, total),
        "eta_seconds": None if run.is_over() else eta_seconds(log, total),
        "rates": rates(log),
    }


def _made(run: WatchedRun) -> dict[str, Any]:
    log, folder = run.log, run.folder
    line = timeline_of(log)
    found, others = incidents(excerpt(log)) if log.records else ([], [])
    paused = control.is_paused(line)
    summary = summary_of(folder, line)
    here = row(run.id, summary, label_of(folder), found, paused=paused)
    told = health(summary, found, paused=paused)
    ids = incident_ids(found)
    facts = control.read_facts(folder, line)
    can = control.controls(facts, training=summary.status in {"running", "paused"})
    asked = requests.requests(line, inbox.read_all(folder))
    commits = _commits(run, line)
    recipe = recipe_text(run)
    return {
        "run": msgspec.to_builtins(here),
        "headline": told.headline,
        "facts": _facts(log, recipe),
        "recipe": recipe,
        "fingerprint": log.started.fingerprint if log.started else {},
        "incidents": [_incident(run, one, name, log, commits) for one, name in zip(found, ids, strict=True)],
        "others": [msgspec.to_builtins(deed) for deed in others],
        "flags": flags(log.records, found, ids),
        "evals": _evals(line),
        "commits": commits,
        "proposals": _proposals(run, found, ids),
        "asked": [msgspec.to_builtins(one) for one in asked[-_MOST_ASKED:]],
        "stages": [msgspec.to_builtins(one) for one in line if isinstance(one, StageBegan)],
        "paused": paused,
        "can": {name: why or True for name, why in can.items()},
        "schedule": planned_rates(run),
        "series": series_of(log, line),
        "notes": [note.text for note in log.damage()],
    }


def timeline_of(log: LiveLog) -> list[Record]:
    """Return the timeline of a log, of its updates the last alone."""
    step = log.last_step()
    records = log.records
    place = log.last_step_place
    return timeline(records if step is None else [*records[:place], step, *records[place:]])


def recipe_text(run: WatchedRun) -> str:
    """Return the recipe as it was asked for, or nothing."""
    try:
        with run.folder.recipe.open("rb") as file:
            return file.read(_MOST_RECIPE).decode("utf-8", "replace")
    except OSError:
        return ""


def settings(text: str) -> dict[str, Any]:
    """Return the settings of a recipe by dotted key, as far as it can be understood."""
    from tunewell.strict_yaml import parse

    found: dict[str, Any] = {}

    def gather(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                gather(f"{prefix}.{key}" if prefix else str(key), item)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for number, item in enumerate(value):
                gather(f"{prefix}.{number}", item)
        elif prefix:
            found[prefix] = value

    gather("", parse(text, "recipe.yaml").value)
    return found


def _facts(log: LiveLog, recipe: str) -> dict[str, Any]:
    asked = settings(recipe)
    started = log.started
    data = {split: asked.get(f"data.{split}") for split in ("train", "validation", "test")}
    return {
        "model": asked.get("model", ""),
        "task": asked.get("task", ""),
        "data": {split: value for split, value in data.items() if value is not None},
        "parameters": started.total_parameters if started else 0,
        "trainable": started.trainable_parameters if started else 0,
        "started": msgspec.to_builtins(started) if started else None,
    }


def _incident(
    run: WatchedRun, one: Incident, name: str, log: LiveLog, commits: list[dict[str, Any]]
) -> dict[str, Any]:
    healthy = [
        each for each in commits if each["healthy"] and each["present"] and each["step"] < max(1, one.onset)
    ]
    branch = f"tunewell branch {run.folder.name}@{healthy[-1]['step']}" if healthy else ""
    return {
        **msgspec.to_builtins(one),
        "id": name,
        "words": said(one),
        "open": is_open(one),
        "flag_step": one.first_step,
        "deeds": [_deed(deed, log.records) for deed in one.deeds],
        "spark": _spark(log, one),
        "branch": branch,
    }


def _deed(deed: Any, records: Sequence[Record]) -> dict[str, Any]:
    """Return a deed with what takes it back, unless that was done since."""
    made = msgspec.to_builtins(deed)
    acted = next(
        (
            each
            for each in records
            if isinstance(each, Acted)
            and (each.step, each.by, each.outcome, each.detail)
            == (deed.step, deed.by, deed.outcome, deed.detail)
        ),
        None,
    )
    undo = acted.undo if acted is not None and deed.outcome == "applied" else None
    later = (
        records[list(map(id, records)).index(id(acted)) + 1 :]
        if acted is not None and undo is not None
        else ()
    )
    undone = any(
        isinstance(each, Acted) and each.outcome == "applied" and each.action == undo for each in later
    )
    return {**made, "undo": msgspec.to_builtins(undo) if undo is not None else None, "undone": undone}


def _spark(log: LiveLog, one: Incident) -> dict[str, Any]:
    """Return a piece of the curve around an incident."""
    from bisect import bisect_left, bisect_right

    from tunewell.runs.downsample import edges, ends, extremes

    key = "gradient_norm" if "gradient" in one.code else "loss"
    steps = log.columns["step"]
    width = max(20, one.last_step - one.onset)
    first, end = bisect_left(steps, one.onset - width), bisect_right(steps, one.last_step + width)
    bounds = edges(first, end, _SPARK_POINTS)
    return {"key": key, "x": ends(steps, bounds), "y": extremes(log.columns[key], bounds)}


def _evals(line: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the evaluations; confusion matrices of the newest and the best of each split alone."""
    every = [one for one in line if isinstance(one, Eval)][-_MOST_EVALS:]
    whole = {id(one) for one in {each.split: each for each in every}.values()}
    whole |= {id(one) for one in {each.split: each for each in every if each.best}.values()}
    return [
        {
            "step": one.step, "epoch": one.epoch, "time": one.time, "split": one.split, "loss": one.loss,
            "metrics": one.metrics, "best": one.best, "train_loss": one.train_loss, "recalls": one.recalls,
            "class_rows": one.class_rows, "rows": one.rows, "seconds": one.seconds,
            "confusion": one.confusion if id(one) in whole else None, "classes": list(one.recalls),
        }
        for one in every
    ]  # fmt: skip


def _commits(run: WatchedRun, line: Sequence[Record]) -> list[dict[str, Any]]:
    present = {one.commit: one for one in checkpoints.commits(run.folder.checkpoints)}
    newest = max(present, default=None)
    best = present[newest].facts.get("best_commit") if newest is not None else None
    found = []
    for record in line:
        if isinstance(record, Committed):
            there = present.get(record.commit)
            found.append(
                {
                    **msgspec.to_builtins(record),
                    "healthy": there.healthy if there else None,
                    "best": record.commit == best,
                    "pinned": there.pinned if there else False,
                    "present": there is not None,
                }
            )
    return found


def _proposals(run: WatchedRun, found: list[Incident], ids: list[str]) -> list[dict[str, Any]]:
    made = []
    for one in inbox.open_proposals(run.log.records, run.folder):
        incident = next((name for each, name in zip(found, ids, strict=True) if one.code in each.codes), None)
        text = " and to ".join(intended(action) for action in [one.action, *one.also])
        made.append(
            {
                "id": one.id, "step": one.step, "text": text, "reason": one.reason, "code": one.code, "by": one.by,
                "evidence_incident": incident,
            }
        )  # fmt: skip
    return made

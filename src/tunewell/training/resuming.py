"""Going on with a run from its newest whole checkpoint."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunewell.document import load_recipe
from tunewell.problems import Problem, RunError
from tunewell.records import Ended, Record, Rewound, Started
from tunewell.runs import checkpoints, sums
from tunewell.runs import environment as fingerprints
from tunewell.runs import folder as run_folders
from tunewell.runs import log as logs
from tunewell.runs.checkpoints import Commit
from tunewell.runs.disk import in_words
from tunewell.runs.environment import difference, environment
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.training import changes, checkpoint
from tunewell.training.device import torch_facts
from tunewell.training.interruption import Interruption
from tunewell.training.opening import guarded, new_session, started
from tunewell.training.session import Session
from tunewell.training.setup import Prepared, begin, prepare_run

BRANCH = "branch"
"""Reason of the commit that a branch begins with: its parent's state."""


def resume(run: str | Path, *, allow_changes: bool = False) -> Iterator[Record]:
    """Go on with a run from its newest whole checkpoint and yield every further record.

    Raises `RunError` when the run is complete, held by another process, or its data or its recipe changed (unless
    `allow_changes`).
    """
    interruption = Interruption()
    folder = run_folders.find(str(run))
    recipe = load_recipe(folder.recipe)
    with interruption.watched(), folder.hold(), in_words("resume the run", folder.path):
        _refuse_complete(folder)
        prepared = prepare_run(recipe, folder.path)
        known = _known(folder)
        changed = _changes(known, prepared, folder)
        if changed and not allow_changes:
            raise _refusal(changed, folder)
        state = begin(prepared)
        checkpoints.clear_temporary(folder.checkpoints)
        commit, said = _newest(folder, None if allow_changes else prepared.work.order.VERSION)
        said = [*said, *_unsealed(folder)]
        log, mended = _log_of(folder, commit)
        if "data" in changed:
            _set_rows_aside(folder)
        session = new_session(prepared, state, folder, log, interruption, str(known.get("parent", "")))
        if commit is None:
            yield from guarded(session, started(session))
        else:
            yield from guarded(session, from_commit(session, commit, said + mended, changed))


def from_commit(
    session: Session, commit: Commit, said: list[str], changed: Mapping[str, list[str]]
) -> Iterator[Record]:
    """Stand where `commit` was made, and log it.

    `said` are sentences on how it was found; `changed` what is not as it was, by ``recipe`` and ``data``. A branch
    begins its own log.
    """
    tensors, facts, rows = checkpoint.load(commit)
    is_branch = commit.facts["reason"] == BRANCH
    before = changes.recipe_of(commit.facts.get("before", commit.facts.get("recipe", {})))
    data_changed = "data" in changed or (is_branch and commit.facts["data_changed"])
    notes: list[str] = []
    if before is not None:
        notes = changes.adapt(
            tensors, facts, before, session.prepared, data_changed=data_changed, is_branch=is_branch
        )
    session.saving.unpack(tensors, facts, b"" if data_changed or is_branch else rows)
    session.saving.checkpointer.prune(commit.commit)
    if is_branch:  # what its parent asked, and was asked, is not for it
        session.hearing.desk.forget()
        session.judge.forget_questions()
    else:
        yield from _rewound(session, commit, changed)
    if is_branch or changed:
        yield from started(session)
    for text in [*said, *notes]:
        yield from session.note(text, "checkpoint")


def _rewound(session: Session, commit: Commit, changed: Mapping[str, list[str]]) -> Iterator[Record]:
    folder, prepared = session.folder, session.prepared
    told = difference(fingerprints.read(folder.environment), environment(torch_facts(prepared.compute)))
    was, now = commit.facts["order_version"], prepared.work.order.VERSION
    if was != now:
        told.append(f"the batch order was {was}, is {now}")
    for kind, differences in changed.items():
        told += differences or [f"the {kind} changed"]
    yield from session.record(
        Rewound(
            time=time.time(),
            step=0,
            to_step=commit.step,
            commit=commit.commit,
            reason="resume",
            exact=not told,
            detail="; ".join(told),
        )
    )
    # The log was cut at the snapshot, before the commit was known to be durable.
    yield from session.record(checkpoint.told(commit, 0.0))


def _unsealed(folder: RunFolder) -> list[str]:
    """Narrow the seal to what stays as it is, and return a sentence for each such file that does not."""
    if not (folder.path / sums.SUMS).exists():
        return []
    sums.narrow(folder.path)
    if not (folder.path / sums.SUMS).exists():
        return [f"{sums.SUMS} was damaged: what it said of other files is lost"]
    found = sums.check(folder.path)
    found.pop(folder.recipe.name, None)  # a changed recipe is told key by key
    return [f"{name} {problem}" for name, problem in found.items()]


def _refuse_complete(folder: RunFolder) -> None:
    if not folder.model.is_dir() or not folder.log.is_file():
        return
    if any(isinstance(r, Ended) and r.status in ("completed", "stopped") for r in logs.read(folder.log)):
        raise RunError(
            Problem(
                "run",
                f"`{folder.name}` is complete: there is nothing to resume",
                str(folder.path),
                fix=f"use it: tunewell predict {folder.name} · or train on from one of its checkpoints:"
                f" tunewell branch {folder.name}@last --set num_epochs=…",
            )
        )


def _known(folder: RunFolder) -> dict[str, Any]:
    """Return what the newest commit, else the log's first record, says of the run's recipe and data."""
    if found := checkpoints.commits(folder.checkpoints):
        return found[-1].facts
    first = next(iter(logs.read(folder.log)), None) if folder.log.exists() else None
    if not isinstance(first, Started):
        return {}
    return {"recipe_hash": first.recipe_hash, "data_hash": first.data_hash, "parent": first.parent}


def _changes(known: Mapping[str, Any], prepared: Prepared, folder: RunFolder) -> dict[str, list[str]]:
    """Return what is not as the run began with, by ``recipe`` and ``data``; as far as it is known what that was."""
    changed = {}
    if known.get("recipe_hash", prepared.recipe.hash()) != prepared.recipe.hash():
        changed["recipe"] = changes.recipe_changes(known.get("recipe", {}), prepared.recipe)
    if known.get("data_hash", prepared.dataset.hash) != prepared.dataset.hash:
        changed["data"] = changes.data_changes(folder, prepared)
    return changed


def _refusal(changed: Mapping[str, list[str]], folder: RunFolder) -> RunError:
    return RunError(
        Problem(
            kind,
            f"the {kind} is not what the run began with" + (f": {'; '.join(told)}" if told else ""),
            str(folder.recipe if kind == "recipe" else folder.path),
            field="data" if kind == "data" else "",
            fix="bring the old one back, begin a new run, or resume with --allow-changes",
        )
        for kind, told in changed.items()
    )


def _set_rows_aside(folder: RunFolder) -> None:
    """Keep the per-row losses of other rows under another name."""
    number = 1
    while (aside := folder.path / f"rows.before-{number}").exists():
        number += 1
    with in_words("set the per-row losses of before aside", folder.rows):
        folder.rows.rename(aside)


def _newest(folder: RunFolder, order_version: int | None) -> tuple[Commit | None, list[str]]:
    """Return the newest commit that verifies, and sentences on those that did not.

    Raises `RunError` when it counts batches in another order than `order_version`.
    """
    commit, said = checkpoints.newest_valid(folder.checkpoints)
    if commit is None or order_version in (None, commit.facts["order_version"]):
        return commit, said
    raise RunError(
        Problem(
            "run",
            f"the run's rows came in batch order {commit.facts['order_version']}; this tunewell makes order"
            f" {order_version}",
            str(commit.folder),
            field="order_version",
            fix="resume with the tunewell that began it, or with --allow-changes: some rows then come"
            " twice in the epoch, others not at all",
        )
    )


def _log_of(folder: RunFolder, commit: Commit | None) -> tuple[LogWriter, list[str]]:
    """Return the log cut to where `commit` was made, and a sentence when it had to be mended for that."""
    if commit is None:
        begun = folder.log.is_file()  # not, when the run was cut before its first record
        return (LogWriter.resume(folder.log, 0, logs.EMPTY_DIGEST) if begun else LogWriter(folder.log)), []
    length = commit.facts["log_length"]
    try:
        return LogWriter.resume(folder.log, length, commit.facts["log_digest"]), []
    except RunError as error:
        cause = error.__cause__
        unreadable = (
            isinstance(cause, OSError) and cause.errno == errno.EIO
        )  # a bad sector: the rest may be read
        if isinstance(cause, OSError) and folder.log.exists() and not unreadable:
            raise
    log = LogWriter.salvage(folder.log, length)
    kept = f" (as it was: {log.damaged.name})" if log.damaged else ""
    return log, [
        f"the log was damaged and is mended{kept}: {log.salvaged}; the training itself is not affected"
    ]

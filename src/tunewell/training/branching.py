"""A new run that goes on from an old point, with some settings changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunewell.document import dump_recipe, load_document
from tunewell.problems import Problem, RunError
from tunewell.records import Record
from tunewell.runs import checkpoints
from tunewell.runs import folder as run_folders
from tunewell.runs import log as logs
from tunewell.runs.checkpoints import Commit
from tunewell.runs.environment import environment
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.runs.point import find_point
from tunewell.training import changes
from tunewell.training.device import torch_facts
from tunewell.training.interruption import Interruption
from tunewell.training.opening import guarded, new_session
from tunewell.training.resuming import BRANCH, from_commit
from tunewell.training.setup import Prepared, begin, prepare_run

_FIXED = ("model", "revision", "task", "problem")
"""Keys that decide what the weights are."""


def branch(
    point: str, overrides: Sequence[str] = (), *, name: str | None = None, root: str | Path = "runs"
) -> Iterator[Record]:
    """Begin a new run from `point` (``RUN@STEP``) of another with `overrides` (``key=value``); yield every record.

    Weights, optimizer, monitors, step and position in the data go on from there. The parent's checkpoint becomes
    the branch's own first one, so that it needs the parent no more. Raises an `InputError` before anything is
    written where the point is not there, the checkpoint is damaged, or a change makes its weights unfit.
    """
    interruption = Interruption()
    with interruption.watched():
        parent, commit = find_point(point, root)
        if damage := checkpoints.verify(commit):
            raise RunError(
                Problem("run", f"the checkpoint is damaged: {'; '.join(damage)}", str(commit.folder))
            )
        document = load_document(parent.recipe, overrides)
        path = run_folders.next_free(Path(root), parent.name) if name is None else Path(root) / name
        recipe = document.recipe.model_copy(update={"name": path.name, "output_dir": None})
        prepared = prepare_run(recipe, parent.path)
        _refuse_misfits(prepared, commit, parent)
        state = begin(prepared)
        folder = RunFolder.create(path, dump_recipe(recipe), environment(torch_facts(prepared.compute)))
        with folder.hold():
            origin = f"{parent.name}@{commit.step}"
            first = _adopt(commit, folder, prepared, origin)
            session = new_session(prepared, state, folder, LogWriter(folder.log), interruption, origin)
            yield from guarded(session, from_commit(session, first, [], {}))


def _refuse_misfits(prepared: Prepared, commit: Commit, parent: RunFolder) -> None:
    before, after = changes.recipe_of(commit.facts["recipe"]), prepared.recipe
    problems = []
    if before is None:
        raise RunError(Problem("run", "its recipe is of another tunewell", str(commit.folder)))
    for key in _FIXED:
        if getattr(before, key) != getattr(after, key):
            fix = f"begin a new run with it: tunewell train RECIPE --set {key}={getattr(after, key)}"
            message = f"a branch keeps its parent's `{key}`, {getattr(before, key)}: the weights belong to it"
            problems.append(Problem("run", message, str(parent.path), field=key, fix=fix))
    labels = commit.facts["labels"]
    if labels != prepared.dataset.labels:
        message = (
            f"the classes are {', '.join(prepared.dataset.labels)}; the checkpoint has {', '.join(labels)}"
        )
        problems.append(Problem("run", message, str(parent.path), field="data.labels", fix="begin a new run"))
    steps = prepared.work.plan.total_steps
    if commit.step >= steps:
        message = f"nothing is left to train: step {commit.step} of {steps}"
        fix = "ask for more: --set num_epochs=… (or max_steps)"
        problems.append(Problem("run", message, str(parent.path), field="num_epochs", fix=fix))
    if problems:
        raise RunError(problems)


def _adopt(commit: Commit, folder: RunFolder, prepared: Prepared, origin: str) -> Commit:
    """Make the parent's commit the first one of the branch: its files are linked, or copied where that can't be."""

    def link_files(target: Path) -> None:
        for name in commit.files:
            try:
                os.link(commit.folder / name, target / name)
            except OSError:  # another disk, or one without links
                shutil.copyfile(commit.folder / name, target / name)

    facts = {
        "reason": BRANCH,
        "best_commit": None,
        "healthy": commit.healthy,
        "log_length": 0,
        "log_digest": logs.EMPTY_DIGEST,
        "before": commit.facts["recipe"],
        "data_changed": commit.facts["data_hash"] != prepared.dataset.hash,
        **changes.identity(prepared, origin),
    }
    return checkpoints.write_commit(folder.checkpoints, 0, commit.step, link_files, facts)

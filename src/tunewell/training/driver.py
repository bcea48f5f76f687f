"""A run from outside: train, resume, check, evaluate. Each record is yielded once it is in the log."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tunewell import monitors
from tunewell.data.ledger import Ledger
from tunewell.document import dump_recipe, load_recipe
from tunewell.monitors import Watch
from tunewell.policies import Judge
from tunewell.problems import Problem, RunError
from tunewell.recipe import Recipe
from tunewell.records import Ended, Eval, Record, Rewound, Started
from tunewell.runs import checkpoints
from tunewell.runs import folder as run_folders
from tunewell.runs import log as logs
from tunewell.runs.checkpoints import Commit
from tunewell.runs.environment import difference, environment
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.tasks._load import model_folder
from tunewell.tasks._text_predictor import settings_of
from tunewell.training import checkpoint
from tunewell.training.device import torch_facts
from tunewell.training.evaluate import evaluate as evaluate_split
from tunewell.training.session import Session
from tunewell.training.setup import Prepared, begin, build_weights, parameter_counts, prepare_run
from tunewell.training.state import TrainState


@dataclass(frozen=True)
class Report:
    """What `check` found: the ledger of the rows, and the plan in plain facts."""

    ledger: Ledger
    plan: dict[str, Any]


def check(recipe: Recipe, base: Path) -> Report:
    """Read the recipe's data, encode it and plan the training without loading the model's weights."""
    return report(prepare_run(recipe, base))


def report(prepared: Prepared) -> Report:
    """Return what is known before the first step."""
    plan, recipe = prepared.work.plan, prepared.recipe
    return Report(
        prepared.ledger,
        {
            "model": recipe.model,
            "task": recipe.task,
            "problem": prepared.dataset.problem,
            "labels": prepared.dataset.labels,
            "rows": {split: len(encoded) for split, encoded in prepared.splits.items()},
            "tokens_per_epoch": int(prepared.work.encoded.lengths.sum()),
            "steps": plan.total_steps,
            "batches_per_epoch": plan.batches_per_epoch,
            "stages": [f"{s.train}: steps {s.first_step + 1}-{s.last_step}" for s in plan.stages],
            "device": str(prepared.compute.device),
            "precision": prepared.compute.precision,
        },
    )


def train(recipe: Recipe, base: Path | None = None, *, stem: str = "run") -> Iterator[Record]:
    """Train `recipe` in a new folder and yield every record; the last is `Ended`.

    Relative paths of the recipe start at `base` (the current folder when absent); `stem` names the run when the
    recipe does not. Raises an `InputError` before anything is written when the input can't be used.
    """
    base = base or Path.cwd()
    prepared = prepare_run(recipe, base)
    state = begin(prepared)
    folder = RunFolder.create(
        _folder_of(recipe, stem), dump_recipe(prepared.recipe), environment(torch_facts(prepared.compute))
    )
    with folder.hold():
        yield from _from_start(prepared, state, folder, LogWriter(folder.log))


def resume(run: str | Path, *, allow_changes: bool = False) -> Iterator[Record]:
    """Go on with a run from its newest whole checkpoint and yield every further record.

    Raises `RunError` when the run is complete, held by another process, or its data or its recipe changed (unless
    `allow_changes`).
    """
    folder = run_folders.find(str(run))
    recipe = load_recipe(folder.recipe)
    with folder.hold():
        started = _first(folder)
        if _is_complete(folder):
            raise RunError(
                Problem(
                    "run",
                    f"`{folder.name}` is complete: there is nothing to resume",
                    str(folder.path),
                    fix=f"use it: tunewell predict {folder.name}",
                )
            )
        prepared = prepare_run(recipe, folder.path)
        if started is not None and not allow_changes:
            _refuse_changes(prepared, folder, started)
        state = begin(prepared)
        checkpoints.clear_temporary(folder.checkpoints)
        commit, log, said = _newest(folder, None if allow_changes else prepared.work.order.VERSION)
        if commit is None:
            yield from _from_start(prepared, state, folder, log)
        else:
            yield from _from_commit(prepared, state, folder, log, commit, said)


def evaluate(run_or_model: str | Path, data: str | Path | None = None) -> Eval:
    """Return how a run's model does on its test rows (else its validation rows), or on the rows of file `data`.

    A model folder needs `data`. Raises an `InputError` when there is no model, no data, or they don't fit.
    """
    folder = model_folder(run_or_model)
    recipe_file = folder.parent / "recipe.yaml"
    asked = load_recipe(recipe_file) if recipe_file.is_file() else None
    if data is not None:
        recipe, base = _recipe_for(folder, asked, str(data)), Path.cwd()
    elif asked is None:
        raise RunError(
            Problem(
                "data",
                "a model folder alone has no data to be evaluated on",
                str(folder),
                fix=f"name a file: tunewell evaluate {folder} DATA",
            )
        )
    else:
        recipe, base = asked.model_copy(update={"model": str(folder), "revision": None}), recipe_file.parent
    as_it_is = {"batch_size": 1, "gradient_accumulation_steps": 1, "head_init": "default"}
    prepared = prepare_run(recipe.model_copy(update=as_it_is), base, for_training=data is None)
    split = next(s for s in ("test", "validation", "train") if s in prepared.splits)
    weights = build_weights(prepared)
    began = time.perf_counter()
    outcome = evaluate_split(
        prepared.task, weights.model, prepared.splits[split], recipe.eval_batch_size, prepared.compute.device
    )
    return Eval(
        time=time.time(),
        step=0,
        epoch=0.0,
        split=Path(data).name if data else split,
        loss=outcome.loss,
        metrics=outcome.metrics,
        rows=len(outcome.targets),
        seconds=time.perf_counter() - began,
    )


def _recipe_for(folder: Path, asked: Recipe | None, data: str) -> Recipe:
    """Return a recipe that evaluates the model in `folder` on the one file `data`, read as its training data was."""
    known = settings_of(folder)
    columns = {"text", "text_pair", "label", "id", "clean", "max_length", "truncation"}
    if asked is not None:
        kept = asked.data.model_dump(include=columns)
    else:
        kept = {key: known[key] for key in ("clean", "max_length", "truncation") if key in known}
    section = {**kept, "train": data, "validation": None, "test": None, "labels": known["labels"] or None}
    return Recipe.model_validate({"model": str(folder), "problem": known["problem"], "data": section})


def _from_start(prepared: Prepared, state: TrainState, folder: RunFolder, log: LogWriter) -> Iterator[Record]:
    session = _session(prepared, state, folder, log)
    yield from _guarded(session, _opening(session))


def _opening(session: Session) -> Iterator[Record]:
    prepared, state, plan = session.prepared, session.state, session.plan
    (session.folder.path / "data.json").write_bytes(msgspec.json.format(msgspec.json.encode(prepared.ledger)))
    trained, total = parameter_counts(state.model)
    counts = prepared.ledger.splits["train"].balance if prepared.dataset.problem == "single_label" else {}
    yield from session.record(
        Started(
            time=time.time(),
            run=session.folder.name,
            recipe_hash=prepared.recipe.hash(),
            data_hash=prepared.dataset.hash,
            fingerprint=environment(torch_facts(prepared.compute)),
            total_steps=plan.total_steps,
            batches_per_epoch=plan.batches_per_epoch,
            num_rows={split: len(encoded) for split, encoded in prepared.splits.items()},
            trainable_parameters=trained,
            total_parameters=total,
            num_classes=len(counts),
            class_counts=counts,
        )
    )
    for text in prepared.ledger.lines(brief=True):
        yield from session.note(text, "ledger")
    for text in prepared.ledger.notes:
        yield from session.note(text, "data")


def _from_commit(
    prepared: Prepared,
    state: TrainState,
    folder: RunFolder,
    log: LogWriter,
    commit: Commit,
    said: list[str],
) -> Iterator[Record]:
    session = _session(prepared, state, folder, log)
    session.unpack(*checkpoint.load(commit))
    before = msgspec.json.decode(folder.environment.read_bytes(), type=dict[str, str])
    changes = difference(before, environment(torch_facts(prepared.compute)))
    was, now = commit.facts["order_version"], prepared.work.order.VERSION
    if was != now:
        changes.append(f"the batch order was {was}, is {now}")

    def opening() -> Iterator[Record]:
        yield from session.record(
            Rewound(
                time=time.time(),
                step=0,
                to_step=commit.step,
                commit=commit.commit,
                reason="resume",
                exact=not changes,
                detail="; ".join(changes),
            )
        )
        for text in said:
            yield from session.note(text, "checkpoint")

    yield from _guarded(session, opening())


def _guarded(session: Session, opening: Iterator[Record]) -> Iterator[Record]:
    """Run to the end; whatever breaks the run is written in its log before it is raised."""
    try:
        with session.interruption.watched():
            yield from opening
            yield from session.run()
    except Exception as error:
        reason = "".join(traceback.format_exception_only(error)).strip()
        session.log.append(
            Ended(time=time.time(), step=session.state.progress.step, status="failed", reason=reason)
        )
        raise
    finally:
        session.checkpointer.close()
        session.log.close()


def _session(prepared: Prepared, state: TrainState, folder: RunFolder, log: LogWriter) -> Session:
    recipe = prepared.recipe
    watch = Watch(monitors.from_recipe(recipe, prepared.task.main_metric))
    return Session(prepared, state, folder, log, watch, Judge(recipe))


def _folder_of(recipe: Recipe, stem: str) -> Path:
    if recipe.output_dir is not None:
        return Path(recipe.output_dir)
    if recipe.name is not None:
        return Path("runs") / recipe.name
    return run_folders.next_free(Path("runs"), stem)


def _refuse_changes(prepared: Prepared, folder: RunFolder, started: Started) -> None:
    changed = {
        "data": started.data_hash != prepared.dataset.hash,
        "recipe": started.recipe_hash != prepared.recipe.hash(),
    }
    problems = [
        Problem(
            kind,
            f"the {kind} is not what the run began with",
            str(folder.recipe if kind == "recipe" else folder.path),
            field="data" if kind == "data" else "",
            fix="bring the old one back, begin a new run, or resume with --allow-changes",
        )
        for kind, is_changed in changed.items()
        if is_changed
    ]
    if problems:
        raise RunError(problems)


def _newest(folder: RunFolder, order_version: int | None) -> tuple[Commit | None, LogWriter, list[str]]:
    """Return the newest commit that verifies and fits the log, and the log trimmed to it.

    Raises `RunError`, with the log as it was, when the commit counts batches in another order than `order_version`.
    """
    said: list[str] = []
    while True:
        commit, words = checkpoints.newest_valid(folder.checkpoints)
        said += words
        if commit is None:
            begun = folder.log.is_file()  # not, when the run was cut before its first record
            log = LogWriter.resume(folder.log, 0, logs.EMPTY_DIGEST) if begun else LogWriter(folder.log)
            return None, log, said
        if order_version not in (None, commit.facts["order_version"]):
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
        try:
            log = LogWriter.resume(folder.log, commit.facts["log_length"], commit.facts["log_digest"])
        except RunError as error:
            said.append(checkpoints.set_aside(commit.folder, error.problems[0].message))
            continue
        return commit, log, said


def _first(folder: RunFolder) -> Started | None:
    first = next(iter(logs.read(folder.log)), None) if folder.log.exists() else None
    return first if isinstance(first, Started) else None


def _is_complete(folder: RunFolder) -> bool:
    return folder.model.is_dir() and any(
        isinstance(r, Ended) and r.status in ("completed", "stopped") for r in logs.read(folder.log)
    )

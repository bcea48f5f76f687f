"""A run from outside: train, resume, check, evaluate. Each record is yielded once it is in the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewell import monitors
from tunewell.data.ledger import Ledger
from tunewell.document import dump_recipe, load_recipe
from tunewell.inspections import DataChecked
from tunewell.monitors import Watch
from tunewell.problems import Problem, RunError
from tunewell.recipe import Recipe
from tunewell.records import Eval, Finding, Record
from tunewell.runs import folder as run_folders
from tunewell.runs.environment import environment
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.tasks._load import model_folder
from tunewell.tasks._text_predictor import settings_of
from tunewell.training import tracking
from tunewell.training.branching import branch
from tunewell.training.device import torch_facts
from tunewell.training.estimate import Estimate
from tunewell.training.evaluate import evaluate as evaluate_split
from tunewell.training.interruption import Interruption
from tunewell.training.opening import guarded, new_session, started
from tunewell.training.resuming import resume
from tunewell.training.setup import Prepared, begin, build_weights, data_checked, prepare_run
from tunewell.training.validation import by_class

__all__ = ["Report", "branch", "check", "checked", "evaluate", "report", "resume", "train"]


@dataclass(frozen=True)
class Report:
    """What `check` found: the ledger of the rows, the plan in plain facts, what is strange in the rows and what the
    monitors say of that, and the costs where they were estimated.
    """

    ledger: Ledger
    plan: dict[str, Any]
    data: DataChecked
    findings: list[Finding]
    estimate: Estimate | None = None


def check(recipe: Recipe, base: Path) -> Report:
    """Read the recipe's data, encode it and plan the training without loading the model's weights.

    Raises an `InputError` for whatever would refuse the training, a used or full folder of the run included.
    """
    return report(checked(recipe, base))


def checked(recipe: Recipe, base: Path) -> Prepared:
    """Return what `check` reports on, for `estimate` to try; raises as that does."""
    _refuse_output(recipe, "run")
    tracking.check(recipe)
    return prepare_run(recipe, base)


def report(prepared: Prepared) -> Report:
    """Return what is known before the first step."""
    plan, recipe = prepared.work.plan, prepared.recipe
    data = data_checked(prepared)
    watch = Watch(monitors.from_recipe(recipe, prepared.task.main_metric))
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
        data,
        watch.observe(data),
    )


def train(recipe: Recipe, base: Path | None = None, *, stem: str = "run") -> Iterator[Record]:
    """Train `recipe` in a new folder and yield every record; the last is `Ended`.

    Relative paths of the recipe start at `base` (the current folder when absent); `stem` names the run when the
    recipe does not. Raises an `InputError` before anything is written when the input can't be used.
    """
    base = base or Path.cwd()
    interruption = Interruption()
    with interruption.watched():
        _refuse_output(recipe, stem)
        tracking.check(recipe)
        prepared = prepare_run(recipe, base)
        state = begin(prepared)
        folder = RunFolder.create(
            _folder_of(recipe, stem), dump_recipe(prepared.recipe), environment(torch_facts(prepared.compute))
        )
        with folder.hold():
            session = new_session(prepared, state, folder, LogWriter(folder.log), interruption)
            yield from guarded(session, started(session))


def evaluate(run_or_model: str | Path, data: str | Path | None = None, *, skip_bad: bool = False) -> Eval:
    """Return how a run's model does on its test rows (else its validation rows), or on the rows of file `data`.

    A model folder needs `data`. Bad rows are left out with `skip_bad`. Raises an `InputError` when there is no model, no data, or they don't fit.
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
    if skip_bad:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"skip_bad": True})})
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
        in_training=outcome.in_training,
        **by_class(outcome, prepared.dataset),
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


def _refuse_output(recipe: Recipe, stem: str) -> None:
    """Raise `RunError` where the run's folder can't be made."""
    key = "output_dir" if recipe.output_dir is not None else "name" if recipe.name is not None else ""
    run_folders.refuse_unusable(_folder_of(recipe, stem), key)


def _folder_of(recipe: Recipe, stem: str) -> Path:
    if recipe.output_dir is not None:
        return Path(recipe.output_dir)
    if recipe.name is not None:
        return Path("runs") / recipe.name
    return run_folders.next_free(Path("runs"), stem)

"""From a recipe to everything a training works on: data, task, encoded splits, order and plan."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tunewell import monitors, plugins
from tunewell.data.batches import BatchOrder
from tunewell.data.cache import Encoded, encode_split
from tunewell.data.checks import check_examples
from tunewell.data.ledger import Ledger
from tunewell.data.point_rows import OrderFacts, order_of
from tunewell.data.prepare import Dataset, prepare
from tunewell.document import absolute_paths
from tunewell.inspections import DataChecked
from tunewell.models.initialization import initialize
from tunewell.models.layers import word_embeddings
from tunewell.policies import Judge
from tunewell.problems import DataError, ModelError, Problem, RecipeError, nearest
from tunewell.recipe import Recipe
from tunewell.tasks._protocol import Task
from tunewell.training import device
from tunewell.training.device import Compute
from tunewell.training.fitted_head import fit_head
from tunewell.training.loop import Work
from tunewell.training.plan import make_plan
from tunewell.training.state import TrainState
from tunewell.training.weights import Weights

CHECKED_BATCHES = 200
"""Batches, from the first one on, whose order is looked at."""


@dataclass(frozen=True)
class Prepared:
    """All that a run needs and that does not change while it trains."""

    recipe: Recipe
    dataset: Dataset
    ledger: Ledger
    task: Task
    splits: dict[str, Encoded]
    compute: Compute
    work: Work


def prepare_run(recipe: Recipe, base: Path, *, for_training: bool = True) -> Prepared:
    """Read and check the data, encode it and plan the training; raises an `InputError` for whatever can't be used.

    Relative paths of the recipe start at `base`; see `prepare` for `for_training`.
    """
    recipe = absolute_paths(recipe, base)
    Judge.from_recipe(recipe)
    compute = device.choose(recipe.device, recipe.precision, recipe.num_threads)
    dataset = prepare(recipe, base, for_training=for_training)
    task: Task = plugins.load("tasks", recipe.task)(recipe, dataset, compute.device.type)
    _check_metric(recipe, task)
    monitors.from_recipe(recipe, task.main_metric)
    splits, ledger = _encode(task, dataset)
    rows_per_update = recipe.batch_size * recipe.gradient_accumulation_steps
    if recipe.max_tokens_per_batch is None and rows_per_update > len(splits["train"]):
        raise RecipeError(
            Problem(
                "recipe",
                f"a batch of {rows_per_update} is more than the {len(splits['train'])} training rows",
                field="batch_size",
                fix=f"set batch_size to {len(splits['train'])} or less",
            )
        )
    tokens = recipe.max_tokens_per_batch
    order = order_of(splits["train"].lengths, order_facts(recipe))
    work = Work(task, splits["train"], order, make_plan(recipe, order), compute, recipe.batch_size, tokens)
    return Prepared(recipe, dataset, ledger, task, splits, compute, work)


def order_facts(recipe: Recipe) -> OrderFacts:
    """Return what the order of batches follows from, beside the lengths of the rows."""
    tokens, parts = recipe.max_tokens_per_batch, recipe.gradient_accumulation_steps
    return OrderFacts(
        version=BatchOrder.VERSION,
        seed=recipe.seed,
        batch_size=recipe.batch_size * parts,
        max_tokens=None if tokens is None else tokens * parts,
        group_by_length=recipe.group_by_length,
    )


def build_weights(prepared: Prepared) -> Weights:
    """Load the pre-trained model onto the device, its new layers begun as the recipe says."""
    recipe, task = prepared.recipe, prepared.task
    model = task.build()
    _check_vocabulary(model, prepared.splits)
    if recipe.head_init in ("xavier", "kaiming", "orthogonal"):
        initialize(model, task.new_parameters, recipe.head_init, recipe.seed)
    model.to(prepared.compute.device)
    weights = Weights(model, prepared.compute.weight_dtype)
    model.train()
    if recipe.head_init == "fitted":
        fit_head(
            task,
            weights,
            prepared.splits["train"],
            prepared.dataset.problem,
            recipe.eval_batch_size,
            recipe.seed,
            prepared.compute.device,
        )
    return weights


def begin(prepared: Prepared) -> TrainState:
    """Load the model and stand before the first update; every stage is tried, so that none fails hours later."""
    weights = build_weights(prepared)
    state = TrainState(prepared.recipe, weights.model, weights)
    if prepared.compute.precision == "fp16":
        state.scaler = torch.amp.GradScaler(prepared.compute.device.type)
    for stage in reversed(prepared.work.plan.stages):
        state.enter(stage)
    return state


def _check_metric(recipe: Recipe, task: Task) -> None:
    asked, known = recipe.metric_for_best_model, ["loss", *task.metrics]
    if asked is not None and asked not in known:
        guess = nearest(asked, known)
        raise RecipeError(
            Problem(
                "recipe",
                f"there is no metric `{asked}` here",
                field="metric_for_best_model",
                fix=f"did you mean `{guess}`?" if guess else f"known: {', '.join(known)}",
            )
        )


def _encode(task: Task, dataset: Dataset) -> tuple[dict[str, Encoded], Ledger]:
    settings = json.dumps(task.encoding_key(), sort_keys=True)
    splits, ledger = {}, dataset.ledger
    key = hashlib.sha256(settings.encode()).hexdigest()
    for split, examples in dataset.splits.items():
        splits[split] = encode_split(examples, task.encode, key, num_classes=len(dataset.labels))
        _refuse_ids_beyond(task.vocabulary_size, split, splits[split])
        ledger = ledger.with_lengths(split, splits[split].lengths, task.max_length, splits[split].truncated)
    return splits, ledger


def _check_vocabulary(model: nn.Module, splits: dict[str, Encoded]) -> None:
    table = word_embeddings(model)
    if table is None:
        return
    for name, encoded in splits.items():
        _refuse_ids_beyond(table.num_embeddings, name, encoded)


def _refuse_ids_beyond(embedded: int | None, split: str, encoded: Encoded) -> None:
    """Refuse token ids that the model has no embedding for, and rows without any token."""
    if empty := np.flatnonzero(encoded.lengths == 0).tolist():
        places = ", ".join(encoded.place(i) for i in empty[:3])
        what = f"the tokenizer finds no token in {len(empty):,} texts of {split}, such as {places}"
        raise DataError(Problem("data", what, field=f"data.{split}", fix="delete or mend these rows"))
    highest, row = max((int(encoded.ids(i).max()), i) for i in range(len(encoded)))
    if embedded is not None and highest >= embedded:
        what = f"the tokenizer gives the id {highest} at {encoded.place(row)}, but the model embeds only {embedded}"
        fix = "use the tokenizer that belongs to the model, or resize its embeddings and save it"
        raise ModelError(Problem("model", what, field="model", fix=fix))


def data_checked(prepared: Prepared) -> DataChecked:
    """Return what is wrong, or strange, with the rows of a run."""
    work, dataset = prepared.work, prepared.dataset
    first = min(CHECKED_BATCHES, work.plan.total_steps)
    return check_examples(
        dataset.splits,
        dataset.labels,
        dataset.problem,
        prepared.splits,
        [work.order.batch_at(cursor) for cursor in range(first)],
        reweighted=prepared.recipe.class_weights is not None,
    )


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Return how many numbers are trained, and how many there are."""
    sizes = [(math.prod(p.shape), p.requires_grad) for p in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)

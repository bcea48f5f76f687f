"""What is not as it was when a run began: its recipe and its data; and what its state is worth after that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from tunewell.data.digests import differences, row_digests
from tunewell.document import dump_value
from tunewell.recipe import UNTRAINED, Recipe
from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.folder import RunFolder
from tunewell.training.checkpoint import FORMAT
from tunewell.training.setup import Prepared
from tunewell.training.state import Tensors

_DIGESTS = "digests.json"
_ORDER = {"seed", "batch_size", "gradient_accumulation_steps", "max_tokens_per_batch", "group_by_length"}
"""Keys that decide which rows make which batch."""


def identity(prepared: Prepared, parent: str = "") -> dict[str, Any]:
    """Return what a commit says of the run that it belongs to; `parent` is where a branch came from."""
    return {
        "format": FORMAT,
        "recipe": prepared.recipe.model_dump(mode="json", exclude_defaults=True),
        "recipe_hash": prepared.recipe.hash(),
        "data_hash": prepared.dataset.hash,
        "labels": prepared.dataset.labels,
        "order_version": prepared.work.order.VERSION,
        "parent": parent,
    }


def remember_rows(folder: RunFolder, prepared: Prepared) -> None:
    """Keep a digest of every row, so that a later change can be told row by row."""
    with in_words("write the rows' digests", folder.rows):
        folder.rows.mkdir(exist_ok=True)
        write_durably(folder.rows / _DIGESTS, msgspec.json.encode(row_digests(prepared.dataset.splits)))


def data_changes(folder: RunFolder, prepared: Prepared) -> list[str]:
    """Return which rows differ from those that the run in `folder` began with, as far as that was kept."""
    try:
        before = msgspec.json.decode((folder.rows / _DIGESTS).read_bytes(), type=dict[str, bytes])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return []
    return differences(before, prepared.dataset.splits)


def recipe_changes(before: Mapping[str, Any], after: Recipe) -> list[str]:
    """Return each key that differs, such as ``learning_rate 0.002 → 0.001``; `before` is what differs from defaults."""
    old = recipe_of(before)
    if old is None:
        return []
    was, now = (flat_settings(recipe) for recipe in (old, after))
    return [
        f"{key} {dump_value(was.get(key))} → {dump_value(now.get(key))}"
        for key in dict.fromkeys([*was, *now])
        if was.get(key) != now.get(key)
    ]


def recipe_of(stored: Mapping[str, Any]) -> Recipe | None:
    """Return the recipe that a commit holds; None where this tunewell no longer reads it."""
    try:
        return Recipe.model_validate(dict(stored))
    except ValidationError:
        return None


def adapt(
    tensors: Tensors,
    facts: dict[str, Any],
    before: Recipe,
    prepared: Prepared,
    *,
    data_changed: bool,
    is_branch: bool,
) -> list[str]:
    """Fit a commit's state to a changed recipe or changed data, in place; return what a reader should know of it.

    Step and position in the order of batches stay the numbers that they are.
    """
    after, notes = prepared.recipe, []
    progress, adjustments = facts["progress"], facts["adjustments"]
    if before.max_grad_norm != after.max_grad_norm:
        adjustments["max_grad_norm"] = after.max_grad_norm
    if before.learning_rate != after.learning_rate or before.stages != after.stages:
        if adjustments["rate_factor"] != 1.0:
            notes.append(
                f"the learning rate's factor {adjustments['rate_factor']:g} of before no longer counts"
            )
        adjustments["rate_factor"] = 1.0
    if before.optimizer != after.optimizer:
        tensors["optimizer"] = {}
        notes.append(f"{after.optimizer} begins without a memory of gradients")
    if after.ema_decay is None:
        tensors.pop("average", None)
    if before.policy != after.policy:
        facts["judge"] = None
    if data_changed or is_branch or before.metric_for_best_model != after.metric_for_best_model:
        progress |= {"best_value": None, "best_step": None, "best_commit": None, "evaluated_at": -1}
        notes.append("the best model is looked for anew")
    if before.stages != after.stages:
        progress["stage"] = prepared.work.plan.stage_at(max(progress["step"] - 1, 0)).index
    if data_changed or any(getattr(before, key) != getattr(after, key) for key in _ORDER):
        notes.append("rows come in another order: in this epoch some come twice and others not at all")
    return notes


def flat_settings(recipe: Recipe) -> dict[str, Any]:
    """Return all settings that shape a training, such as ``{"data.max_length": 128}``: where it is told of is none."""
    settings = _flat(recipe.model_dump(exclude=UNTRAINED))
    return {**settings, "stages": [stage.model_dump(exclude_defaults=True) for stage in recipe.stages]}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat

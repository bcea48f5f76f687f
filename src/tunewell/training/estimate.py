"""What a run will cost in time, memory and disk, from a dry step of it."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import msgspec

from tunewell.recipe import Recipe
from tunewell.training import memory
from tunewell.training.interruption import Interruption
from tunewell.training.plan import Plan
from tunewell.training.rehearsal import usual_share
from tunewell.training.setup import Prepared
from tunewell.training.space import in_words
from tunewell.training.trial import UNUSED_STEPS, Measured, Trial

_NUMBER_BYTES, _ROW_ID_BYTES = 4, 8
"""Of a row's loss in an epoch, and of its id."""


class Seconds(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run's time goes."""

    start: float
    """Reading, encoding, checking the rows, loading, self-tests; less where the rows are encoded already."""
    training: float
    evaluation: float
    checkpoints: float
    """For which training stands still or is slower, and the export of the result."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is expected to cost. Memory is the device's: this process's on a processor."""

    seconds: Seconds | None
    """None: it could not be tried in the memory there is."""
    total_seconds: float | None
    """If the run is not stopped earlier."""
    memory_bytes: int
    """At most."""
    memory_limit_bytes: int
    """What it could have: free now, and held already."""
    checkpoint_bytes: int
    """Of the largest one."""
    disk_bytes: int
    """At most: while a checkpoint is written beside those that are kept."""
    free_disk_bytes: int
    measured: str
    """What all this was measured on."""
    warnings: list[str]


def estimate(prepared: Prepared, *, prepared_in: float = 0.0, seconds: float = 12.0) -> Estimate:
    """Return what training `prepared` will cost, from a dry step that takes about `seconds`, more for large models.

    `prepared_in` are the seconds that `prepare_run` took: they are part of the start. The only file written is one
    checkpoint, for a moment, in the folder of the run or the nearest one above it that is there.
    """
    device = prepared.compute.device
    limit = memory.held_bytes(device) + memory.free_bytes(device)
    folder = _nearest_folder(prepared.recipe)
    with Interruption().watched():  # a signal ends it in order: the checkpoint goes
        measured = Trial(prepared, seconds).run(folder)
    times = _seconds(prepared, measured, prepared_in) if measured.fits else None
    checkpoint, disk = _disk_bytes(prepared, measured)
    free_disk = shutil.disk_usage(folder).free
    return Estimate(
        seconds=times,
        total_seconds=sum(msgspec.structs.astuple(times)) if times else None,
        memory_bytes=measured.peak_bytes,
        memory_limit_bytes=limit,
        checkpoint_bytes=checkpoint,
        disk_bytes=disk,
        free_disk_bytes=free_disk,
        measured=f"{measured.updates} updates on {device}, {prepared.compute.precision}",
        warnings=[
            *_memory_warnings(prepared.recipe, measured, limit),
            *_disk_warnings(disk, free_disk, folder),
            *measured.trouble,
        ],
    )


def _nearest_folder(recipe: Recipe) -> Path:
    """Return the folder of the run, or the nearest one above it that is there."""
    folder = Path(recipe.output_dir or "runs").absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _seconds(prepared: Prepared, measured: Measured, prepared_in: float) -> Seconds:
    plan, recipe = prepared.work.plan, prepared.recipe
    training = 0.0
    for stage, costs in zip(plan.stages, measured.stages, strict=True):
        steps = range(stage.first_step, stage.last_step)
        probes = sum(
            step % recipe.probe_steps == 0 or step < UNUSED_STEPS for step in steps if recipe.probe_steps
        )
        mean = float(costs.update.seconds(measured.shapes).mean())
        training += mean * len(steps) + probes * costs.probe_seconds
    assert measured.evaluation is not None
    once = {
        name: float(measured.evaluation.seconds(shapes).sum()) + measured.scoring[name]
        for name, shapes in measured.evaluated.items()
    }
    fitting = once["train"] if recipe.head_init == "fitted" else 0.0
    return Seconds(
        start=prepared_in + measured.start_seconds + fitting + usual_share(prepared) * training,
        training=training,
        evaluation=sum(once[split] * times for split, times in _evaluations(prepared).items()),
        checkpoints=_checkpoint_seconds(plan, measured, training),
    )


def _evaluations(prepared: Prepared) -> dict[str, int]:
    """Return how often each split is evaluated: before, while and after it is trained."""
    plan, splits = prepared.work.plan, prepared.splits
    times = {"validation": sum(map(plan.evaluates_at, range(plan.total_steps + 1))), "test": 1}
    times["test" if "test" in splits else "validation"] += 1
    return {split: count for split, count in times.items() if split in splits}


def _checkpoint_seconds(plan: Plan, measured: Measured, training: float) -> float:
    saves = sum(map(plan.saves_at, range(plan.total_steps + 1)))
    waiting = max(0.0, measured.write_seconds - training / max(1, saves - 1))  # for the one before
    each = measured.snapshot_seconds + measured.slowdown_seconds + waiting
    result = measured.write_seconds * measured.model_bytes / max(1, measured.stages[-1].tensor_bytes)
    return saves * each + measured.write_seconds + result  # the last one is waited for


def _disk_bytes(prepared: Prepared, measured: Measured) -> tuple[int, int]:
    """Return the bytes of the largest checkpoint, and of all files when they are most."""
    plan, limit, rows = prepared.work.plan, prepared.recipe.save_total_limit, len(prepared.work.encoded)
    by_stage = [costs.tensor_bytes for costs in measured.stages] or [3 * measured.initial_bytes]
    first = measured.initial_bytes + measured.other_bytes
    largest, most, kept = first, first, [first]
    for step in (step for step in range(1, plan.total_steps + 1) if plan.saves_at(step)):
        stage = next(index for index, stage in enumerate(plan.stages) if step <= stage.last_step)
        size = by_stage[min(stage, len(by_stage) - 1)] + measured.other_bytes
        largest, most = max(largest, size), max(most, sum(kept) + size)
        kept = [first, *[*kept[1:], size][1 - limit :]]  # the first, the best and the newest ones
    result = measured.model_bytes + _tokenizer_bytes(prepared)
    epochs = math.ceil(plan.total_steps / plan.batches_per_epoch)
    beside = plan.total_steps * measured.log_bytes + rows * (_ROW_ID_BYTES + _NUMBER_BYTES * epochs)
    return largest, max(most, sum(kept) + result) + beside


def _tokenizer_bytes(prepared: Prepared) -> int:
    backend = getattr(prepared.task.tokenizer, "backend_tokenizer", None)
    return 0 if backend is None else len(backend.to_str(pretty=True).encode())


def _memory_warnings(recipe: Recipe, measured: Measured, limit: int) -> list[str]:
    """Return what to change where memory will not be enough."""
    missing = measured.peak_bytes - limit
    if measured.fits and missing <= 0:
        return []
    rows, tokens = measured.longest
    fewer = math.ceil(max(missing, 0.1 * limit) / measured.row_bytes) if measured.row_bytes else rows // 2
    needed, had = in_words(measured.peak_bytes), in_words(limit)
    told = f"memory will not be enough: about {needed} are needed and {had} can be had"
    return [f"{told}; {_smaller(recipe, min(rows - fewer, rows - 1), tokens)}"]


def _smaller(recipe: Recipe, fitting: int, tokens: int) -> str:
    """Return settings of the same mathematics whose micro-batches are of `fitting` rows of `tokens`, in words."""
    if fitting < 1:
        return "not even a row at a time would fit: choose a smaller model, a lower data.max_length, or embeddings: freeze"
    if recipe.max_tokens_per_batch is not None:
        budget = fitting * tokens
        parts = math.ceil(recipe.max_tokens_per_batch * recipe.gradient_accumulation_steps / budget)
        return f"max_tokens_per_batch: {budget} with gradient_accumulation_steps: {parts} would fit"
    together = recipe.batch_size * recipe.gradient_accumulation_steps
    size = next(size for size in range(min(fitting, together), 0, -1) if together % size == 0)
    return f"batch_size: {size} with gradient_accumulation_steps: {together // size} would fit"


def _disk_warnings(needed: int, free: int, folder: Path) -> list[str]:
    if needed <= free:
        return []
    told = f"the disk will not be enough: about {in_words(needed)} are needed and {in_words(free)} are free in {folder}"
    return [f"{told}; free some space, or keep fewer checkpoints (save_total_limit)"]

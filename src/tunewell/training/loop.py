"""The training loop: a generator that yields what happened at each update and never calls back."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunewell.data.batches import BatchOrder
from tunewell.data.cache import Encoded
from tunewell.probes import cadence
from tunewell.probes.gradients import GradientNorms
from tunewell.probes.updates import UpdateProbe
from tunewell.problems import Problem, RunError
from tunewell.tasks._protocol import Batch, LossSum, Task
from tunewell.training.device import Compute
from tunewell.training.looking import Look, during
from tunewell.training.memory import is_out_of_memory, release
from tunewell.training.noise import seed_noise
from tunewell.training.plan import Plan
from tunewell.training.state import TrainState


@dataclass
class Update:
    """One update as it was measured, still on the device; `measure.to_records` makes records of it."""

    step: int
    cursor: int
    epoch: float
    stage: int
    learning_rate: float
    max_grad_norm: float | None
    rows: np.ndarray
    """(rows,) positions in the training split, in the order of `per_row`."""
    tokens: int
    loss: Tensor
    per_row: Tensor
    """(rows,) losses."""
    gradient_norm: Tensor
    finite: Tensor
    layer_gradients: dict[str, Tensor] | None
    layer_updates: dict[str, Tensor] | None
    outputs: Tensor | None = None
    """(rows, classes) logits, of tasks that have such."""
    look: Look | None = None
    """What was seen inside; sampled updates only."""
    seconds: float = 0.0
    data_seconds: float = 0.0
    out_of_memory: str = ""
    """Why `max_micro_batch_tokens` was lowered at this update, in words."""


@dataclass(frozen=True)
class Work:
    """What the loop works on, fixed for the whole run."""

    task: Task
    encoded: Encoded
    order: BatchOrder
    plan: Plan
    compute: Compute
    batch_size: int
    max_tokens_per_batch: int | None

    def micro_batch_rows(self, longest: int, most_tokens: int | None) -> int:
        """Return how many rows of `longest` tokens go through the model at once; `most_tokens` bounds them further."""
        budgets = [budget for budget in (self.max_tokens_per_batch, most_tokens) if budget is not None]
        sizes = [max(1, budget // longest) for budget in budgets]
        return min(sizes if self.max_tokens_per_batch is not None else [self.batch_size, *sizes])


@dataclass
class Gradient:
    """The gradient of one update, gathered in the weights, and the losses that it is of."""

    rows: np.ndarray
    """(rows,) positions in the training split, in the order of `losses`."""
    batches: list[Batch]
    count: Tensor
    losses: list[LossSum]
    data_seconds: float
    out_of_memory: str = ""

    @property
    def outputs(self) -> Tensor | None:
        """(rows, classes) logits; None where a row has more than one answer."""
        outputs = [loss.outputs for loss in self.losses]
        return torch.cat(outputs) if outputs[0].dim() == 2 else None


Poll = Callable[[str], bool]
"""Told what begins (``data``, ``step``), it says whether the run has to end before it."""


def train_steps(state: TrainState, work: Work, poll: Poll = lambda _: False) -> Iterator[Update]:
    """Yield one `Update` after each optimizer step until the plan's end, or until `poll` says so.

    An update that `poll` ends half-way leaves no trace: its gradient is forgotten.
    """
    while state.progress.step < work.plan.total_steps:
        began = time.perf_counter()
        stage = work.plan.stage_at(state.progress.step)
        if stage.index != state.progress.stage:
            state.enter(stage)
        rows = next_rows(state, work)
        is_due = cadence.is_due(state.progress.step, state.recipe.probe_steps, work.plan.total_steps)
        look = Look(state, work.compute.device) if is_due else None
        gradient = gather_gradient(state, work, rows, poll, look)
        if gradient is None:
            return

        rate = state.optimizers.set_rate(state.rate_factor(stage))
        moved = UpdateProbe(state.trainable) if look else None
        with during(look, "optimizer"):
            norms, finite = clip_and_step(state)
            state.weights.publish()
            state.weights.clear_gradients()

        state.progress.step += 1
        state.adjustments.cursor += 1
        state.update_average()
        yield Update(
            step=state.progress.step,
            cursor=state.adjustments.cursor - 1,
            epoch=work.order.epoch_at(state.adjustments.cursor),
            stage=stage.index,
            learning_rate=rate,
            max_grad_norm=state.adjustments.max_grad_norm,
            rows=gradient.rows,
            tokens=sum(batch.num_tokens for batch in gradient.batches),
            loss=torch.stack([loss.sum.detach() for loss in gradient.losses]).sum() / gradient.count,
            per_row=torch.cat([loss.per_row for loss in gradient.losses]),
            outputs=gradient.outputs,
            gradient_norm=norms.total,
            finite=finite,
            layer_gradients=norms.by_layer(state.layers, state.layer_order) if look else None,
            layer_updates=moved.by_layer(state.layers, state.layer_order) if moved else None,
            look=look,
            seconds=time.perf_counter() - began,
            data_seconds=gradient.data_seconds,
            out_of_memory=gradient.out_of_memory,
        )


def gather_gradient(
    state: TrainState, work: Work, rows: np.ndarray, poll: Poll, look: Look | None = None
) -> Gradient | None:
    """Gather the gradient of an update over `rows`, with a `look` inside; None: `poll` ended it.

    Where memory runs out it is begun again in micro-batches of half the tokens, for the rest of the run: one gradient
    in more parts, equal but for rounding.
    """
    told = ""
    while True:
        try:
            gradient = _in_parts(state, work, rows, poll, look)
        except (RuntimeError, MemoryError) as error:
            largest = _largest(state, work, rows)
            if not is_out_of_memory(error) or largest[0] == 1:
                raise
        else:
            if gradient is None:
                state.weights.clear_gradients()
            else:
                gradient.out_of_memory = told
            return gradient
        # Outside of `except`, whose traceback would keep the tensors of the failed attempt alive.
        state.weights.clear_gradients()
        release(work.compute.device)
        state.adjustments.max_micro_batch_tokens = largest[0] * largest[1] // 2
        told = told or f"memory ran out with {largest[0]:,} rows of {largest[1]:,} tokens at once"


def _in_parts(
    state: TrainState, work: Work, rows: np.ndarray, poll: Poll, look: Look | None
) -> Gradient | None:
    began = time.perf_counter()
    if poll("data"):
        return None
    parts = split(rows, state, work)
    batches = [
        weighted(work.task.collate(work.encoded, part), state.adjustments.class_weights).to(
            work.compute.device
        )
        for part in parts
    ]
    collated = time.perf_counter()
    seed_noise(state.recipe.seed, state.progress.step, state.adjustments.cursor)
    count = torch.stack([batch.count for batch in batches]).sum()
    losses = []
    if look:
        look.begin()
    for batch in batches:
        if poll("step"):
            return None
        losses.append(forward_backward(state, work, batch, count, look))
    if look:
        look.before_update(batches, losses)
    return Gradient(np.concatenate(parts), batches, count, losses, collated - began)


def weighted(batch: Batch, class_weights: Sequence[float]) -> Batch:
    """Return `batch` with its rows weighted by their class, (classes,) numbers; none changes nothing."""
    if not class_weights:
        return batch
    return dataclasses.replace(batch, weights=batch.weights * torch.tensor(class_weights)[batch.targets])


def _largest(state: TrainState, work: Work, rows: np.ndarray) -> tuple[int, int]:
    """Return rows and tokens a row of the update's largest micro-batch."""
    sizes = [(len(part), int(work.encoded.lengths[part].max())) for part in split(rows, state, work)]
    return max(sizes, key=math.prod)


def forward_backward(
    state: TrainState, work: Work, batch: Batch, count: Tensor, look: Look | None = None
) -> LossSum:
    """Add one micro-batch's share of the gradient: its loss sum over the whole update's `count`."""
    autocast = torch.autocast(
        work.compute.device.type, torch.float16, enabled=work.compute.precision == "fp16"
    )
    with during(look, "forward"), autocast:
        loss = work.task.loss(state.model, batch)
    mean = loss.sum / count
    if look:
        look.before_backward(batch, loss, mean)
    with during(look, "backward"):
        (state.scaler.scale(mean) if state.scaler else mean).backward()
        state.weights.gather_gradients()
    return loss


def clip_and_step(state: TrainState) -> tuple[GradientNorms, Tensor]:
    """Clip, guard and update; return the norms before clipping and whether all of it was finite.

    The guard: an update that is not finite would poison every weight, so it is not made.
    """
    if state.scaler:
        for part in state.optimizers.parts:
            state.scaler.unscale_(part)
    norms = GradientNorms(state.trainable)
    finite = torch.isfinite(norms.total)
    if state.adjustments.layer_bounds:
        norms.clip_layers(state.adjustments.layer_bounds, state.layers)
    if state.adjustments.max_grad_norm is not None:
        norms.clip(state.adjustments.max_grad_norm)
    if state.scaler:
        if finite:  # of all parts together: one that is well must not step while another is refused
            for part in state.optimizers.parts:
                state.scaler.step(part)
        state.scaler.update()
    else:
        state.optimizers.step(finite)
    return norms, finite


def next_rows(state: TrainState, work: Work) -> np.ndarray:
    """Return the rows of the next batch that still has any, moving the cursor past batches without."""
    for _ in range(work.plan.batches_per_epoch + 1):
        rows = work.order.batch_at(state.adjustments.cursor)
        if state.adjustments.excluded_rows:
            rows = rows[~np.isin(work.encoded.rows[rows], state.adjustments.excluded_rows)]
        if len(rows):
            return rows
        state.adjustments.cursor += 1
    raise RunError(Problem("data", "every training row is excluded", fix="begin a new run with other rows"))


def split(rows: np.ndarray, state: TrainState, work: Work) -> list[np.ndarray]:
    """Cut an update's rows into micro-batches: parts of one gradient, so that only memory depends on their size."""
    lengths = work.encoded.lengths[rows]
    size = work.micro_batch_rows(int(lengths.max()), state.adjustments.max_micro_batch_tokens)
    if len(rows) <= size:
        return [rows]
    by_length = rows[np.argsort(lengths, kind="stable")]
    return [by_length[i : i + size] for i in range(0, len(rows), size)]

"""The training loop: a generator that yields what happened at each update and never calls back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunewell.data.batches import BatchOrder
from tunewell.data.cache import Encoded
from tunewell.probes.gradients import GradientNorms
from tunewell.probes.updates import UpdateProbe
from tunewell.problems import Problem, RunError
from tunewell.tasks._protocol import Batch, LossSum, Task
from tunewell.training.device import Compute
from tunewell.training.noise import seed_noise
from tunewell.training.plan import Plan
from tunewell.training.state import TrainState


@dataclass
class Update:
    """One update as it was measured, still on the device; `measure.to_steps` makes records of it."""

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
    gradient_norm: Tensor
    finite: Tensor
    layer_gradients: dict[str, Tensor] | None
    layer_updates: dict[str, Tensor] | None
    seconds: float = 0.0
    data_seconds: float = 0.0


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

    def micro_batch_rows(self, longest: int) -> int:
        """Return how many rows of `longest` tokens go through the model at once."""
        if self.max_tokens_per_batch is None:
            return self.batch_size
        return max(1, self.max_tokens_per_batch // longest)


def train_steps(state: TrainState, work: Work) -> Iterator[Update]:
    """Yield one `Update` after each optimizer step until the plan's end."""
    while state.progress.step < work.plan.total_steps:
        began = time.perf_counter()
        stage = work.plan.stage_at(state.progress.step)
        if stage.index != state.progress.stage:
            state.enter(stage)
        rows = next_rows(state, work)
        batches = [
            work.task.collate(work.encoded, part).to(work.compute.device) for part in split(rows, work)
        ]
        collated = time.perf_counter()

        seed_noise(state.recipe.seed, state.progress.step, state.adjustments.cursor)
        count = torch.stack([batch.count for batch in batches]).sum()
        losses = [forward_backward(state, work, batch, count) for batch in batches]

        factor = stage.rate_factor(state.progress.step) * state.adjustments.rate_factor
        rate = state.optimizers.set_rate(factor)
        probed = probes_at(state)
        moved = UpdateProbe(state.trainable) if probed else None
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
            rows=rows,
            tokens=sum(batch.num_tokens for batch in batches),
            loss=torch.stack([loss.sum.detach() for loss in losses]).sum() / count,
            per_row=torch.cat([loss.per_row for loss in losses]),
            gradient_norm=norms.total,
            finite=finite,
            layer_gradients=norms.by_layer(state.layers, state.layer_order) if probed else None,
            layer_updates=moved.by_layer(state.layers, state.layer_order) if moved else None,
            seconds=time.perf_counter() - began,
            data_seconds=collated - began,
        )


def forward_backward(state: TrainState, work: Work, batch: Batch, count: Tensor) -> LossSum:
    """Add one micro-batch's share of the gradient: its loss sum over the whole update's `count`."""
    with torch.autocast(work.compute.device.type, torch.float16, enabled=work.compute.precision == "fp16"):
        loss = work.task.loss(state.model, batch)
    mean = loss.sum / count
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


def split(rows: np.ndarray, work: Work) -> list[np.ndarray]:
    """Cut an update's rows into micro-batches: parts of one gradient, so that only memory depends on their size."""
    lengths = work.encoded.lengths[rows]
    size = work.micro_batch_rows(int(lengths.max()))
    if len(rows) <= size:
        return [rows]
    by_length = rows[np.argsort(lengths, kind="stable")]
    return [by_length[i : i + size] for i in range(0, len(rows), size)]


def probes_at(state: TrainState) -> bool:
    """Tell whether the layers are measured at the coming update: the first ones, then every `probe_steps`."""
    every = state.recipe.probe_steps
    return every > 0 and (state.progress.step % every == 0 or state.progress.step < 3)

"""The whole course of a training, known before it starts: stages, their steps and their rates."""

from __future__ import annotations

from dataclasses import dataclass

from tunewell import schedules
from tunewell.data.batches import BatchOrder
from tunewell.recipe import Recipe, Stage


@dataclass(frozen=True)
class StagePlan:
    """One stage: updates `first_step` (exclusive count before it) up to `last_step` (inclusive)."""

    index: int
    name: str
    train: str
    first_step: int
    last_step: int
    learning_rate: float
    scheduler: str
    warmup_steps: int

    def rate_factor(self, step: int) -> float:
        """Return the schedule's factor for the update that follows `step` finished ones."""
        length = self.last_step - self.first_step
        return schedules.factor(self.scheduler, step - self.first_step, length, self.warmup_steps)


@dataclass(frozen=True)
class Plan:
    """All stages in order, and the steps at which to evaluate and save."""

    stages: list[StagePlan]
    batches_per_epoch: int
    eval_steps: int | None
    save_steps: int | None
    epoch_ends: frozenset[int]

    @property
    def total_steps(self) -> int:
        """Updates of the whole training."""
        return self.stages[-1].last_step

    def stage_at(self, step: int) -> StagePlan:
        """Return the stage of the update that follows `step` finished ones; the last one at the end."""
        return next((stage for stage in self.stages if step < stage.last_step), self.stages[-1])

    def evaluates_at(self, step: int) -> bool:
        """Tell whether validation is due once `step` updates are done."""
        if step in (0, self.total_steps):
            return True
        return step % self.eval_steps == 0 if self.eval_steps else step in self.epoch_ends

    def saves_at(self, step: int) -> bool:
        """Tell whether a checkpoint is due once `step` updates are done; each evaluation brings one too."""
        return self.evaluates_at(step) or (self.save_steps is not None and step % self.save_steps == 0)


def make_plan(recipe: Recipe, order: BatchOrder) -> Plan:
    """Return the plan of `recipe` over the batches of `order`."""
    asked = recipe.stages or [Stage()]
    stages: list[StagePlan] = []
    epochs, first = 0.0, 0
    for index, stage in enumerate(asked):
        epochs += stage.num_epochs or recipe.num_epochs
        last = max(first + 1, order.total_batches(epochs))
        if recipe.max_steps is not None:
            last = min(last, recipe.max_steps) if recipe.stages else recipe.max_steps
        if last <= first:
            break
        stages.append(
            StagePlan(
                index=index,
                name=stage.train,
                train=stage.train,
                first_step=first,
                last_step=last,
                learning_rate=stage.learning_rate or recipe.learning_rate,
                scheduler=stage.lr_scheduler or recipe.lr_scheduler,
                warmup_steps=_warmup(recipe, stage, last - first),
            )
        )
        first = last
    each = order.num_batches()  # the same in every epoch
    ends = frozenset(range(each, first + 1, each))
    return Plan(stages, each, recipe.eval_steps, recipe.save_steps, ends)


def _warmup(recipe: Recipe, stage: Stage, length: int) -> int:
    if stage.warmup_ratio is None and recipe.warmup_steps is not None:
        return min(recipe.warmup_steps, length - 1)
    ratio = recipe.warmup_ratio if stage.warmup_ratio is None else stage.warmup_ratio
    return int(ratio * length)

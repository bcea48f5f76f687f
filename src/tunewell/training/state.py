"""The only mutable object of a run: weights, optimizer, position, adjustments, judgement. Its `pack` is the checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tunewell.models.layers import layer_by_parameter, layer_order, word_embeddings
from tunewell.models.stages import set_trainable
from tunewell.recipe import Recipe
from tunewell.training.optimizers import Optimizers
from tunewell.training.plan import StagePlan
from tunewell.training.weights import Weights

Tensors = dict[str, dict[str, Tensor]]
"""Tensors of a checkpoint by file (``model``, ``optimizer``, ``average``), then by name."""


@dataclass
class Progress:
    """What rewinds with the weights besides tensors."""

    step: int = 0
    stage: int = -1
    evaluated_at: int = -1
    best_value: float | None = None
    best_step: int | None = None
    best_commit: int | None = None
    loss_sum: float = 0.0
    loss_count: float = 0.0


@dataclass
class Adjustments:
    """What never rewinds, or a rollback would repeat itself for ever."""

    cursor: int = 0
    rate_factor: float = 1.0
    max_grad_norm: float | None = None
    excluded_rows: list[int] = field(default_factory=list)
    max_micro_batch_tokens: int | None = None
    """Rows × longest of what goes through the model at once, since memory ran out; None: as the recipe says."""
    rewarm_from: int = 0
    """Cursor at which the rate began to rise anew, over `rewarm_steps` updates."""
    rewarm_steps: int = 0
    stretch: float = 1.0
    """How many times slower than planned the schedule runs."""
    layer_bounds: dict[str, float] = field(default_factory=dict)
    """By layer, the norm at which its gradient is clipped."""
    frozen: list[str] = field(default_factory=list)
    """Layers that no longer train, whatever the stage says."""
    unfrozen: list[str] = field(default_factory=list)
    """Layers that train, whatever the stage says."""
    epsilon: float | None = None
    """Of an Adam-like optimizer; None: the recipe's."""
    class_weights: list[float] = field(default_factory=list)
    """What each class's rows count in the loss, on top of what the recipe says; empty: 1 each."""

    def rewarmed(self) -> float:
        """Return the share of the rate that is used while it rises anew, a tenth at first; 1 afterwards."""
        done = self.cursor - self.rewarm_from
        return 0.1 + 0.9 * done / self.rewarm_steps if done < self.rewarm_steps else 1.0


class TrainState:
    """A training at one moment."""

    def __init__(self, recipe: Recipe, model: nn.Module, weights: Weights) -> None:
        self.recipe, self.model, self.weights = recipe, model, weights
        self.layers = layer_by_parameter(model)
        self.layer_order = layer_order(self.layers)
        self.progress = Progress()
        self.adjustments = Adjustments(max_grad_norm=recipe.max_grad_norm)
        self.trainable: dict[str, nn.Parameter] = {}
        self.optimizers: Optimizers
        self.average: dict[str, Tensor] | None = None
        self.scaler: torch.amp.GradScaler | None = None

    def enter(self, stage: StagePlan) -> None:
        """Let `stage`'s parameters train, with a new optimizer."""
        self.weights.clear_gradients()
        set_trainable(self.model, stage.train, freeze_embeddings=self.recipe.embeddings == "freeze")
        self._adjust_trainable()
        self.trainable = self.weights.trainable()
        sparse = self._sparse_table()
        self.optimizers = Optimizers(self.recipe, self.trainable, self.layers, stage.learning_rate, sparse)
        if self.adjustments.epsilon is not None:
            self.optimizers.set_epsilon(self.adjustments.epsilon)
        if self.recipe.ema_decay is not None:
            begun = {n: p.detach().clone() for n, p in self.trainable.items()}
            self.average = {**begun, **(self.average or {})}  # what an earlier stage averaged stays as it is
        self.progress.stage = stage.index

    def reenter(self, stage: StagePlan) -> None:
        """Enter the present `stage` anew, as its layers or the optimizer's settings changed; its memory is kept."""
        packed = self.optimizers.pack()
        self.enter(stage)
        self.optimizers.unpack(packed)

    def rate_factor(self, stage: StagePlan) -> float:
        """Return what the peak rate of `stage` is multiplied by at the coming update: the schedule, adjusted."""
        done = int((self.progress.step - stage.first_step) / self.adjustments.stretch)
        scheduled = stage.rate_factor(stage.first_step + done)
        return scheduled * self.adjustments.rate_factor * self.adjustments.rewarmed()

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the exponential moving average of the weights one update on."""
        if self.average is None or self.recipe.ema_decay is None:
            return
        # The first updates weigh more, or the average would stay near the untrained head for 1/(1-decay) of them.
        decay = min(self.recipe.ema_decay, (1 + self.progress.step) / (10 + self.progress.step))
        moving = [self.average[name] for name in self.trainable]
        torch._foreach_lerp_(moving, list(self.trainable.values()), 1 - decay)

    def pack(self) -> tuple[Tensors, dict[str, Any]]:
        """Return copies of all tensors, in the processor's memory, and all else as JSON-able facts."""
        tensors: Tensors = {
            "model": _copied(self.weights.masters),
            "optimizer": _copied(self.optimizers.pack()),
        }
        if self.average is not None:
            tensors["average"] = _copied(self.average)
        facts = {"progress": vars(self.progress).copy(), "adjustments": _plain(self.adjustments)}
        if self.scaler is not None:
            facts["scaler"] = self.scaler.state_dict()
        return tensors, facts

    def unpack(
        self,
        tensors: Mapping[str, Mapping[str, Tensor]],
        facts: Mapping[str, Any],
        stage: StagePlan,
        *,
        keep_adjustments: bool,
    ) -> None:
        """Take back what `pack` returned; a rollback keeps the adjustments of the present."""
        if not keep_adjustments:
            self.adjustments = Adjustments(**facts["adjustments"])
        self.weights.load(tensors["model"])
        self.progress = Progress(**facts["progress"])
        averaged = tensors.get("average")
        self.average = None if averaged is None else {n: self._placed(n, t) for n, t in averaged.items()}
        self.enter(stage)
        self.optimizers.unpack(tensors["optimizer"])
        if self.scaler is not None and "scaler" in facts:
            self.scaler.load_state_dict(facts["scaler"])

    def _placed(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.to(self.weights.masters[name].device, copy=True)

    def is_finite(self) -> bool:
        """Tell whether every trainable weight is finite; what is not is never committed."""
        norms = torch._foreach_norm([p.detach() for p in self.trainable.values()])
        return bool(torch.isfinite(torch.stack(norms)).all())

    def _adjust_trainable(self) -> None:
        changed = {
            **dict.fromkeys(self.adjustments.frozen, False),
            **dict.fromkeys(self.adjustments.unfrozen, True),
        }
        for name, parameter in self.weights.used.items():
            if self.layers[name] in changed:
                parameter.requires_grad_(changed[self.layers[name]])

    def _sparse_table(self) -> str | None:
        table = word_embeddings(self.model)
        if table is None:
            return None
        lazy = self.recipe.embeddings == "rows" and table.weight.requires_grad
        table.sparse = lazy
        if not lazy:
            return None
        return next(name for name, p in self.weights.used.items() if p is table.weight)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def _plain(adjustments: Adjustments) -> dict[str, Any]:
    return copy.deepcopy(vars(adjustments))

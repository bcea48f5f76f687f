"""A look inside our own loop at a sampled update: the fields of `Inspected`, as numbers that are still on the device.

What this loop can't get wrong is measured all the same: a task or a model of a user's own may.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from tunewell.inspections import Inspected
from tunewell.models.layers import EMBEDDINGS, HEAD
from tunewell.probes import graph, memory
from tunewell.probes.activations import silent_and_saturated
from tunewell.probes.gradients import GradientNorms
from tunewell.probes.inputs import first_tensor, mean_and_std, spread
from tunewell.probes.modes import Modes
from tunewell.probes.optimizer import epsilon_share, output_gain, smallest_numbers, zero_shares
from tunewell.probes.phases import Phases
from tunewell.tasks._protocol import Batch, LossSum
from tunewell.training.state import TrainState


class Look:
    """What is seen of one update; `shown` are 0-d tensors by field, or ``field/name`` where a field has several."""

    def __init__(self, state: TrainState, device: torch.device) -> None:
        self.state = state
        self.phases = Phases(device)
        self.told: dict[str, Any] = {}
        self.shown: dict[str, Tensor] = {}

    def begin(self) -> None:
        """Look just before the update's first forward pass, again where memory ran out and it begins anew."""
        state = self.state
        self.phases = Phases(self.phases.device)
        modes = Modes(state.model)
        self.told = {"switching": len(modes.switching), "in_evaluation": modes.in_evaluation()}
        self.shown = {"stale_gradient": GradientNorms({**state.weights.used, **state.trainable}).total}

    def before_backward(self, batch: Batch, loss: LossSum, mean: Tensor) -> None:
        """Look at what is differentiated, `mean`, and at the first micro-batch: inputs, outputs, and what only the graph
        shows.
        """
        differentiated = mean.detach()
        if "objective" in self.shown:
            self.shown["objective"] = self.shown["objective"] + differentiated
            return
        self.shown["objective"] = differentiated
        names: Mapping[Tensor, str] = {
            p: self.state.layers[name] for name, p in self.state.weights.used.items()
        }
        silent, saturated = silent_and_saturated(mean, names)
        self._tell_each("silent_units", silent)
        self._tell_each("saturated_units", saturated)
        seen = graph.loss_seen(mean)
        if seen is not None:
            self.told["outputs_are_probabilities"] = seen.of_probabilities
            if seen.guessing is not None:
                self.shown["guessing_loss"] = seen.guessing
        if loss.outputs.dim() == 2:
            self.told["num_outputs"] = loss.outputs.shape[1]
        deviation = spread(loss.outputs)
        if deviation is not None:
            self.shown["output_std"] = deviation
        inputs = first_tensor(batch.inputs)
        moments = None if inputs is None else mean_and_std(inputs)
        if moments is not None:
            self.shown["input_mean"], self.shown["input_std"] = moments

    @torch.no_grad()
    def before_update(self, batches: Sequence[Batch], losses: Sequence[LossSum]) -> None:
        """Look at losses, gradients and optimizer once the gradient is gathered."""
        state = self.state
        self.told["backward_passes"] = len(losses)
        self.told["schedule_ticks"] = 1  # the rate is a function of the update's number
        weighted = [(loss.per_row * batch.weights).sum() for loss, batch in zip(losses, batches, strict=True)]
        self.shown["mean_loss"] = torch.stack(weighted).sum() / torch.stack([b.count for b in batches]).sum()
        self._look_at_layers()
        for field, measure in (("zero_gradients", zero_shares), ("smallest_gradients", smallest_numbers)):
            self._tell_each(field, measure(state.trainable, state.layers, frozenset({EMBEDDINGS})))
        held = {
            id(p) for part in state.optimizers.parts for group in part.param_groups for p in group["params"]
        }
        self.told["not_optimized"] = [
            name for name, master in state.weights.trainable().items() if id(master) not in held
        ]
        shares = [share for part in state.optimizers.parts if (share := epsilon_share(part)) is not None]
        if shares:
            self.told["epsilon"], self.shown["epsilon_share"] = shares[0]
        device = losses[0].sum.device
        self.told["memory_bytes"], self.told["memory_limit"] = memory.held(device), memory.limit(device)

    def _look_at_layers(self) -> None:
        state = self.state
        trained = {state.layers[name] for name in state.trainable}
        self.told["frozen"] = [layer for layer in state.layer_order if layer not in trained]
        self.told["output_layer"], self.told["output_frozen"] = HEAD, HEAD not in trained
        matrices = [
            name for name, p in state.weights.used.items() if state.layers[name] == HEAD and p.dim() >= 2
        ]
        if matrices:
            last = output_gain(state.model.get_submodule(matrices[-1].rpartition(".")[0]))
            assert last is not None
            self.shown["output_gain"] = last

    def _tell_each(self, field: str, numbers: Mapping[str, Tensor]) -> None:
        self.told[field] = dict.fromkeys(numbers, 0.0)
        self.shown |= {f"{field}/{name}": number for name, number in numbers.items()}


def during(look: Look | None, phase: str) -> AbstractContextManager[None]:
    """Return a context whose time the look tells as that of `phase`; nobody looks: a plain one."""
    return nullcontext() if look is None else look.phases.of(phase)


def inspected(look: Look, step: int, numbers: Sequence[float]) -> Inspected:
    """Return the record of a look; `numbers` are those of `shown`, in its order, fetched from the device."""
    values = dict(zip(look.shown, numbers, strict=True))
    fields = dict(look.told)
    for name, number in values.items():
        field, _, part = name.partition("/")
        if part:
            fields[field][part] = number
        else:
            fields[field] = number
    return Inspected(time=time.time(), step=step, phase_seconds=look.phases.seconds, **fields)

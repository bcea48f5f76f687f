"""What a model's own forward passes show: modes, sizes, scales, and the order of its modules."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

from tunewell.probes.inputs import first_tensor, is_distribution, mean_and_std, spread
from tunewell.probes.modes import Modes


@dataclass
class Forward:
    """One forward pass with gradients."""

    began: float
    rows: int = 0
    tokens: int = 0
    in_evaluation: list[str] = field(default_factory=list)
    in_training: list[str] = field(default_factory=list)
    announced: bool = False
    """A loop said that it begins; the model itself has not been called yet, and may never be."""
    scales: dict[str, Tensor] = field(default_factory=dict)
    """``input_mean``, ``input_std`` and ``output_std``, 0-d; where it was looked at."""


class Forwards:
    """Hooks on the root of `model`.

    `take_loss` is given the loss that a model computes itself (transformers: the output's ``loss``), `is_due` says
    whether scales are measured at the coming pass.
    """

    def __init__(
        self, model: nn.Module, take_loss: Callable[[Tensor], object], is_due: Callable[[], bool]
    ) -> None:
        self.model, self._take_loss, self._is_due = model, take_loss, is_due
        self.modes = Modes(model)
        self.called: dict[nn.Module, int] = {}
        self.last: Forward | None = None
        """The newest pass with gradients since the last update."""
        self.first: Forward | None = None
        self.gives_probabilities = False
        """The model's output was a distribution over classes at the newest look."""
        self.in_training: list[str] | None = None
        """Switching modules in training mode at the newest pass without gradients since the last update."""
        self.free_since = time.perf_counter()
        """When the last update or evaluation ended: what comes between is waiting for data."""
        self._handles: list[RemovableHandle] = [
            model.register_forward_pre_hook(self._begin),
            model.register_forward_hook(self._end, with_kwargs=True),
        ]
        self._order: RemovableHandle | None = None

    def forget(self) -> None:
        """Begin anew behind an update."""
        self.first = self.last = None
        self.in_training = None
        self.free_since = time.perf_counter()

    def look_again(self) -> None:
        """Find the modules anew: a head may have been replaced."""
        self.modes = Modes(self.model)

    def evaluated_in_training(self) -> list[str] | None:
        """Return the switching modules that were in training mode in the passes since the last update; None: none was.

        Without `torch.no_grad` an evaluation's passes look like a training's, but no backward pass follows.
        """
        if self.in_training is not None or self.last is None:
            return self.in_training
        return self.last.in_training

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        if self._order is not None:
            self._order.remove()

    def announce(self, batch: Any) -> None:
        """See the batch of a pass that begins, whatever of the model it goes through: its root may never be called."""
        if not torch.is_grad_enabled():
            self.in_training = self.modes.in_training()
            return
        self._begin(self.model, batch)
        forward = self.last
        if forward is not None:
            forward.announced = True
            self._see(forward, first_tensor(batch), None)

    def settle(self) -> None:
        """The pass has come to its loss."""
        if self._order is not None:
            self._order.remove()
            self._order = None
        if self.last is not None:
            self.last.announced = False

    def _begin(self, model: nn.Module, _: Any) -> None:
        if torch.is_grad_enabled() and not (self.last is not None and self.last.announced):
            self.last = Forward(began=time.perf_counter())
            self.first = self.first or self.last
        if not self.called:
            self._order = register_module_forward_pre_hook(self._note_order)
            self.called[model] = 0

    def _note_order(self, module: nn.Module, _: Any) -> None:
        self.called.setdefault(module, len(self.called))

    def _end(self, model: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if not torch.is_grad_enabled():
            self.settle()
            self.in_training = self.modes.in_training()
            self.free_since = time.perf_counter()
            return
        forward = self.last
        self.settle()
        if forward is None:  # hooked in the middle of a pass
            return
        inputs = first_tensor(args)
        self._see(forward, first_tensor(kwargs) if inputs is None else inputs, output)
        loss = getattr(output, "loss", None)
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self._take_loss(loss)

    def _see(self, forward: Forward, inputs: Tensor | None, output: Any) -> None:
        if inputs is not None:
            is_text = not inputs.is_floating_point() and inputs.dim() == 2
            forward.rows = len(inputs)
            forward.tokens = inputs.numel() if is_text else len(inputs)
        forward.in_evaluation = self.modes.in_evaluation()
        forward.in_training = self.modes.in_training()
        if self._is_due():
            forward.scales |= _scales(inputs, output)
            self.gives_probabilities = is_distribution(getattr(output, "logits", output))


def _scales(inputs: Tensor | None, output: Any) -> dict[str, Tensor]:
    scales = {}
    moments = None if inputs is None else mean_and_std(inputs)
    if moments is not None:
        scales["input_mean"], scales["input_std"] = moments
    logits = getattr(output, "logits", output)
    deviation = spread(logits) if isinstance(logits, Tensor) else None
    if deviation is not None:
        scales["output_std"] = deviation
    return scales

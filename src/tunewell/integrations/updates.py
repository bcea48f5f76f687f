"""Follows the updates of somebody else's loop, from the loss to behind the optimizer's step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunewell.integrations import look
from tunewell.integrations.adjustments import Adjustments
from tunewell.integrations.backward import micro_batch, on_backward
from tunewell.integrations.forward import Forward, Forwards
from tunewell.integrations.schedule import Ticks
from tunewell.integrations.update import MicroBatch, Update
from tunewell.probes.cadence import is_due
from tunewell.probes.gradients import GradientNorms
from tunewell.probes.layers import Layers, layers_of
from tunewell.probes.optimizer import LeftOut
from tunewell.probes.phases import Phases
from tunewell.probes.updates import UpdateProbe

_SCALER = 128.0
"""What multiplies a loss by more is a gradient scaler: it begins at 65,536, and no weight of a loss is that large."""


class Updates:
    """Hooks on a model and its optimizer that gather one `Update` after another.

    `done` is called with each behind the optimizer's step. Only `adjustments` change a number of the training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        ticks: Ticks,
        probe_steps: int,
        total_steps: int | None,
        adjustments: Adjustments,
        done: Callable[[Update], None],
    ) -> None:
        self.model, self.optimizer, self.ticks = model, optimizer, ticks
        self.probe_steps, self._total_steps = probe_steps, total_steps
        self._adjustments, self._done = adjustments, done
        self.forwards = Forwards(model, self._take_own_loss, lambda: self.current.looked_at)
        self.parameters: dict[str, nn.Parameter] = {}
        self.layers = Layers({}, [], "", frozenset())
        self.names: dict[Tensor, str] = {}
        self.step = 0
        self.rows = 0
        self.batch_rows: list[int] | None = None
        """Ids of the rows that come next, where `Watcher.batches` gave them out."""
        self.reads_losses = True
        """Whether each loss is read from its graph, not only when looked into: where it is not the mean that is logged."""
        self.dropped = 0
        """Gathered gradients that were cleared without an update."""
        self.without_loss = 0
        """Updates of which no loss was given."""
        self._in_backward = False
        self.is_scaled = False
        """A gradient scaler multiplies the losses."""
        self._loss_factor = 1.0
        self._began = 0.0
        """When the phase under way began, in an update that is looked into."""
        self._moved: UpdateProbe | None = None
        self._left_out = LeftOut()
        self._in_evaluation: list[str] | None = None
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        self.current = self._next()

    def remove(self) -> None:
        """Take all hooks away."""
        self.forwards.remove()
        for handle in self._handles:
            handle.remove()

    def remarks(self) -> list[str]:
        """Return what a reader of the record should know, a sentence each."""
        said = []
        if self.without_loss:
            said.append(
                f"{self.without_loss} updates could not be watched: `watch.loss(loss)` was not called"
            )
        if self.dropped:
            said.append(f"{self.dropped} gradients were cleared without an update, as a gradient scaler does")
        return said

    def take(
        self,
        loss: Tensor,
        rows: list[int] | None = None,
        row_losses: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> MicroBatch:
        """Note a loss before its backward pass."""
        self._forget_what_was_dropped()
        forward = self.forwards.last
        self.forwards.settle()
        found = micro_batch(
            loss,
            forward.rows if forward else 0,
            forward.tokens if forward else 0,
            self.batch_rows if rows is None else rows,
            row_losses,
            targets,
            whole=self.reads_losses
            or self.current.looked_at
            or rows is not None
            or self.batch_rows is not None,
        )
        self._in_backward = False
        self._look_where_modes_changed()
        if self.current.looked_at:
            self._time_forward(forward, loss.device)
        if self.current.looked_at and not self.current.passes:
            self._find_layers()
            look.before_backward(self.current, loss, self.names)
        on_backward(loss, lambda gradient: self._backward_began(found, gradient), self._backward_ended)
        factor = self._loss_factor = self._adjustments.loss_factor
        if factor != 1.0 and loss.requires_grad:
            loss.register_hook(lambda gradient: gradient * factor)
        return found

    def _time_forward(self, forward: Forward | None, device: torch.device) -> None:
        self.current.phases = phases = self.current.phases or Phases(device)
        if forward is not None:
            phases.add("forward", phases.now() - forward.began)

    def _forget_what_was_dropped(self) -> None:
        """Begin anew where gradients were cleared without an update, as a gradient scaler does after an overflow."""
        if self.current.passes and all(parameter.grad is None for parameter in self.parameters.values()):
            self.dropped += 1
            self.current = self._next()

    def _take_own_loss(self, loss: Tensor) -> None:
        self.take(loss)

    def _next(self) -> Update:
        due = is_due(self.step, self.probe_steps, self._total_steps)
        return Update(step=self.step + 1, looked_at=due, rows_before=self.rows)

    def _look_where_modes_changed(self) -> None:
        """Look into an update whose modules changed between training and evaluation: it may be for good."""
        forward = self.forwards.last
        if forward is not None and self.probe_steps > 0:
            changed = self._in_evaluation is not None and forward.in_evaluation != self._in_evaluation
            self._in_evaluation = forward.in_evaluation
            self.current.looked_at |= changed

    def _find_layers(self) -> None:
        parameters = dict(self.model.named_parameters())
        if parameters.keys() != self.parameters.keys() or any(
            parameters[name] is not known for name, known in self.parameters.items()
        ):
            self.parameters = parameters
            self.forwards.look_again()
            self.layers = layers_of(self.model, self.forwards.called)
            self.names = {parameter: self.layers.of[name] for name, parameter in parameters.items()}

    def _optimized(self) -> dict[str, nn.Parameter]:
        held = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        return {name: parameter for name, parameter in self.parameters.items() if id(parameter) in held}

    # The backward pass.

    def _backward_began(self, found: MicroBatch, gradient: Tensor) -> bool:
        if self._in_backward:  # a model's own loss inside of the one that was given
            return False
        self._in_backward = True
        update = self.current
        found.weight = gradient.reshape(())
        if update.looked_at and not update.passes:
            update.stale = GradientNorms(self._optimized()).total
            self.is_scaled = bool(found.weight.abs() >= _SCALER)
        update.scaled = self.is_scaled
        update.passes.append(found)
        if update.phases is not None:
            self._began = update.phases.now()
        self.ticks.between()
        self._adjustments.note_rates()
        if self._loss_factor != 1.0:
            self._adjustments.scale_gathered(self.parameters, self._loss_factor)
        return True

    def _backward_ended(self) -> None:
        self._in_backward = False
        if self.current.phases is not None:
            self.current.phases.add("backward", self.current.phases.now() - self._began)
        if self._loss_factor != 1.0:
            self._adjustments.scale_gathered(self.parameters, 1 / self._loss_factor)
        if not self.is_scaled:
            self.current.norms = GradientNorms(self.parameters)

    # The update.

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """Look at the gathered gradients; where a closure computes them within the step, right behind it."""
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._gathered(optimizer)
            return None

        def followed() -> Any:
            found = closure()
            self._gathered(optimizer)
            return found

        if len(args) > 1:
            return (args[0], followed, *args[2:]), kwargs
        return args, {**kwargs, "closure": followed}

    def _gathered(self, optimizer: Optimizer) -> None:
        update = self.current
        if not update.passes:
            return
        with torch.no_grad():
            if not any(parameter.grad is not None for parameter in self.parameters.values()):
                update.norms = GradientNorms({})  # cleared between the backward pass and the update
            elif update.norms is None:
                update.norms = GradientNorms(self.parameters)
                self._unscale(update.norms)
            if update.looked_at:
                update.gradients = update.norms.by_layer(self.layers.of, self.layers.order)
                modules = dict(self.model.named_modules())
                look.before_update(
                    update, optimizer, self.parameters, self.layers, self.forwards, modules, self._left_out
                )
                update.told["schedule_ticks"] = self.ticks.since_last_update()
                trained = {
                    name: p
                    for name, p in self.parameters.items()
                    if p.requires_grad and name not in self._left_out.moved
                }
                self._moved = UpdateProbe(trained)
            self._adjustments.before(update, self.parameters, self.layers)
            update.learning_rate = max(float(group["lr"]) for group in optimizer.param_groups)
            if update.phases is not None:
                self._began = update.phases.now()

    def _unscale(self, norms: GradientNorms) -> None:
        """Divide `norms` by what a gradient scaler leaves to a fused optimizer."""
        scale = getattr(self.optimizer, "grad_scale", None)
        if isinstance(scale, Tensor):
            norms.norms = tuple(norm / scale.to(norm.device) for norm in norms.norms)
            norms.total = norms.total / scale.to(norms.total.device)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        update, forwards = self.current, self.forwards
        if update.phases is not None:
            update.phases.add("optimizer", update.phases.now() - self._began)
        self._adjustments.after(self.parameters)
        if not update.passes:
            self.without_loss += 1
            return
        if self._moved is not None:
            with torch.no_grad():
                update.moves = self._moved.by_layer(self.layers.of, self.layers.order)
            self._moved = None
        if update.norms is not None:
            update.norms.let_go()  # the update may wait to be written, and the gradients must not with it
        now = time.perf_counter()
        began = forwards.first.began if forwards.first else forwards.free_since
        update.seconds = now - forwards.free_since
        update.data_seconds = max(0.0, began - forwards.free_since)
        self.step += 1
        self.rows += sum(one.row_count for one in update.passes)
        self.ticks.updated()
        self.current = self._next()
        self._done(update)
        forwards.forget()

"""`tunewell.self_test`: the self-tests of a run, asked of any PyTorch model before its training."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunewell.inspections import Tested
from tunewell.integrations import batches
from tunewell.training import self_tests as tests

LossOf = Callable[[Any, Any], Any]
"""``loss_of(model, batch)`` gives the mean loss of `batch`, 0-d, as the training computes it."""

ROWS = 16
"""Rows of a batch that are to be memorised."""
LEAST_UPDATES, MOST_UPDATES = 10, 60
PADDING = 8
"""Positions that are added to tell whether padding changes a loss."""


def self_test(
    model: nn.Module,
    loss_of: LossOf,
    batch: Any,
    optimizer: Optimizer | None = None,
    *,
    classes: int | None = None,
    accumulation_steps: int = 1,
    seconds: float = 10.0,
) -> list[Tested]:
    """Try `model` out on one training batch before it is trained, and return what came of each test.

    `loss_of(model, batch)` computes the mean loss of a batch as the training does, on whatever model it is given.
    All is tried on copies: model, optimizer and torch's random numbers are afterwards what they were. With the
    `optimizer` it is seen that it moves every parameter; with the number of `classes`, whether the first loss is
    that of knowing nothing; with `accumulation_steps` above 1, whether gathering changes the gradient. Memorising
    16 rows takes `seconds` at most, all else a few passes over the batch.

    Each answer has `name`, `passed` (None: it could not be made), `detail` in a sentence, and `numbers`::

        def loss_of(model, batch):
            inputs, targets = batch
            return F.cross_entropy(model(inputs), targets)


        for answer in tunewell.self_test(model, loss_of, batch, optimizer, classes=10):
            print(answer.name, answer.passed, answer.detail)
    """
    cuda = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(cuda, device_type="cuda"):
        try:
            trial = _Trial(model, loss_of, batch, optimizer)
        except Exception as error:  # whatever a stranger's model raises when it is copied or called
            return [tests.unmade(name, f"no copy can be tried: {tests.told(error)}") for name in tests.NAMES]
        made: dict[str, Callable[[], Tested]] = {
            "first_loss": lambda: trial.first_loss(classes),
            "repeats": lambda: tests.repeats(trial.model, trial.loss),
            "modes_agree": lambda: tests.modes_agree(trial.model, trial.loss, within=trial.within),
            "padding": trial.padding,
            "accumulation": lambda: trial.accumulation(accumulation_steps),
            "gradients_reach": lambda: tests.gradients_reach(trial.updated()),
            "parameters_move": trial.parameters_move,
            "inputs_matter": trial.inputs_matter,
            "fits_one_batch": lambda: trial.fits_one_batch(seconds, classes),
        }
        return [tests.answered(name, made[name]) for name in tests.NAMES]


class _Trial:
    """A copy of the model and of the optimizer that updates it."""

    def __init__(self, model: nn.Module, loss_of: LossOf, batch: Any, optimizer: Optimizer | None) -> None:
        # Together: the copied optimizer holds the copied parameters.
        self.model, self.optimizer = copy.deepcopy((model, optimizer))
        self.loss_of, self.batch, self.rows = loss_of, batch, batches.rows_of(batch)
        self.start = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.moves: tests.Moves | None = None
        with torch.no_grad(), batches.outputs_of(self.model) as outputs:
            precisions = [
                self.loss().dtype,
                *(output.dtype for output in outputs),
            ]  # autocast shows in the outputs
        self.within = tests.tolerance(*precisions, *(p.dtype for p in self.trained.values()))

    def loss(self, batch: Any = None) -> Tensor:
        """Return the mean loss of the batch, or of another."""
        value = self.loss_of(self.model, self.batch if batch is None else batch)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise TypeError("loss_of must return the mean loss as a tensor of one number")
        return value.reshape(())

    def first_loss(self, classes: int | None) -> Tested:
        if classes is None:
            return tests.unmade("first_loss", "the number of classes is not known: give `classes`")
        losses = [float(loss) for loss in self._row_losses()]
        return tests.first_loss(
            torch.tensor(losses), math.log(classes), what=f"that of knowing nothing, log({classes}),"
        )

    def padding(self) -> Tested:
        padded = batches.padded(self.batch, PADDING)
        if padded is None:
            return tests.unmade("padding", "the batch has no `input_ids` with an `attention_mask`")
        self.model.eval()
        with torch.no_grad():
            alone, more = self.loss(), self.loss(padded)
        return tests.padding(alone.reshape(1), more.reshape(1), within=self.within)

    def accumulation(self, steps: int) -> Tested:
        if steps < 2:
            return tests.unmade("accumulation", "no gradients are gathered")
        if self.rows is None or self.rows < steps:
            return tests.unmade("accumulation", f"the batch can't be parted into {steps}")
        size = self.rows // steps
        parts = [batches.take(self.batch, range(i * size, (i + 1) * size)) for i in range(steps)]
        self.model.eval()  # without noise, and a part has other batch statistics than the whole
        whole = self._gradient([batches.take(self.batch, range(size * steps))])
        return tests.accumulation(whole, self._gradient(parts), steps, within=self.within)

    def updated(self) -> tests.Moves:
        """Return what two updates of the copy did."""
        if self.moves is None:
            self.model.train()
            optimizer = self.optimizer or torch.optim.Adam(self.trained.values(), lr=tests.FIRST_RATE)
            for group in optimizer.param_groups:
                if not float(group["lr"]):  # where warm-up begins
                    group["lr"] = group.get("initial_lr") or tests.FIRST_RATE

            def step() -> None:
                optimizer.step()
                self.model.zero_grad()

            self.moves = tests.make_updates(self.trained, lambda: self.loss().backward(), step)
        return self.moves

    def parameters_move(self) -> Tested:
        if self.optimizer is None:
            return tests.unmade("parameters_move", "the optimizer is not known: give `optimizer`")
        return tests.parameters_move(self.updated())

    def inputs_matter(self) -> Tested:
        if self.rows is None or self.rows < 2:
            return tests.unmade("inputs_matter", "the batch has no two rows that can be told apart")
        self.model.eval()
        with torch.no_grad(), batches.outputs_of(self.model) as outputs:
            self.loss()
            with batches.shuffled_inputs(self.model, self.rows):
                self.loss()
        if len(outputs) != 2:
            return tests.unmade("inputs_matter", "`loss_of` does not call the model once with tensors")
        return tests.inputs_matter(*outputs)

    def fits_one_batch(self, seconds: float, classes: int | None) -> Tested:
        rows = self.rows or 1
        if self.rows is not None and self.rows > ROWS:
            self.batch, rows = batches.take(self.batch, range(ROWS)), ROWS
        self.optimizer = self.moves = None
        self.model.load_state_dict(self.start)
        began = time.perf_counter()
        self.loss().backward()
        self.model.zero_grad()
        updates = int(seconds / max(1e-6, time.perf_counter() - began))
        return tests.fits_one_batch(
            self.model,
            self.loss,
            rows=rows,
            updates=min(MOST_UPDATES, max(LEAST_UPDATES, updates)),
            unknowing=math.log(classes) if classes else 0.0,
        )

    def _row_losses(self) -> Iterator[Tensor]:
        self.model.eval()
        with torch.no_grad():
            if self.rows is None:
                yield self.loss()
                return
            for row in range(min(self.rows, 4 * ROWS)):
                yield self.loss(batches.take(self.batch, range(row, row + 1)))

    def _gradient(self, parts: list[Any]) -> dict[str, Tensor]:
        self.model.zero_grad()
        for part in parts:
            (self.loss(part) / len(parts)).backward()
        found = {name: p.grad.to_dense().clone() for name, p in self.trained.items() if p.grad is not None}
        self.model.zero_grad()
        return found

"""A prepared run tried out on a copy before its first update: the self-tests of `self_tests.py`, within a budget.

The run is bit for bit what it is without: the copy has weights, optimizer and modes of its own, and torch's
generators are put back. What a test may cost is counted in tokens, not in seconds, so that equal runs are tested
equally however busy the machine is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tunewell.inspections import Tested
from tunewell.models.layers import word_embeddings
from tunewell.tasks._protocol import Batch
from tunewell.training import self_tests as tests
from tunewell.training.device import Compute
from tunewell.training.loop import Poll, clip_and_step, forward_backward
from tunewell.training.memory import release
from tunewell.training.setup import Prepared
from tunewell.training.state import TrainState
from tunewell.training.weights import Weights

SHARE = 0.03
"""Of the tokens that the run trains on, what the tests may take."""
USUAL = 16 * 512.0
"""Tokens that they usually take: most small batches are memorised in some updates."""
FREE = 2e10
"""Tokens times weights that any run can spare: about a second of two cores."""
ROWS, MORE_ROWS = 16, 64
"""Rows of the small batch, and of the first loss."""
LENGTH = 32
"""Tokens of a row that are tried: the beginning tells rows apart as well as the whole."""
CANDIDATES = 512
"""Rows, evenly spaced, among which the small batch is chosen."""
LEAST_UPDATES, MOST_UPDATES = 10, 40
"""Within which a small batch is to be memorised."""
EXACT = tests.tolerance(torch.float32)
FORWARD = 1 / 3
"""What a forward pass costs, where forward and backward are 1."""


def rehearse(prepared: Prepared, state: TrainState, poll: Poll = lambda _: False) -> list[Tested]:
    """Return the answers of all self-tests of a run that stands before its first update; fewer when `poll` ends it.

    A test that is too costly or fails for whatever reason is answered with why, and ends nothing.
    """
    device = prepared.compute.device
    answers: list[Tested] = []
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        try:
            rehearsal = Rehearsal(prepared, state)
        except Exception as error:  # a model that can't be copied can still be trained
            return [tests.unmade(name, f"no copy can be made: {tests.told(error)}") for name in tests.NAMES]
        for name, cost, test in rehearsal.all_tests():
            if poll("self-tests"):
                break
            answers.append(rehearsal.answer(name, cost, test))
        del rehearsal
    release(device)
    return answers


def tokens_of(prepared: Prepared) -> float:
    """Return how many tokens a run trains on, the same ones in each epoch counted anew."""
    plan = prepared.work.plan
    return float(prepared.work.encoded.lengths.sum()) * plan.total_steps / plan.batches_per_epoch


def usual_share(prepared: Prepared) -> float:
    """Return the share of a run's updates that its self-tests take in time, about."""
    return min(SHARE, USUAL / tokens_of(prepared)) if prepared.recipe.self_tests else 0.0


class Rehearsal:
    """A copy of a prepared run in fp32, and the tests that are asked of it."""

    def __init__(self, prepared: Prepared, state: TrainState) -> None:
        self.task, self.encoded = prepared.task, prepared.splits["train"]
        self.device, self.problem = prepared.compute.device, prepared.dataset.problem
        self.work = replace(prepared.work, compute=Compute(self.device, "fp32"))
        self.classes = len(prepared.dataset.labels)
        self.smoothing = state.recipe.label_smoothing
        self.masters = state.weights.masters
        model = copy.deepcopy(state.model).float()
        self.twin = TrainState(state.recipe, model, Weights(model, torch.float32))
        self.twin.weights.load({name: master.detach() for name, master in self.masters.items()})
        self.twin.enter(prepared.work.plan.stages[0])
        self.rows = self._small_batch()
        self.batch = self._collated(self.rows)
        weights = sum(math.prod(p.shape) for p in model.parameters())
        table = word_embeddings(model)
        weights -= 0 if table is None else table.weight.numel()  # looked up, not multiplied with
        self.left = max(SHARE * tokens_of(prepared), FREE / max(1, weights))
        """Tokens forward and back that may still be spent."""

    def all_tests(self) -> Iterator[tuple[str, float, Callable[[], Tested]]]:
        """Yield name, cost in tokens, and each test, in the order in which they must be made."""
        tokens = float(math.prod(next(iter(self.batch.inputs.values())).shape[:2]))
        yield "first_loss", FORWARD * tokens * MORE_ROWS / ROWS, self.first_loss
        yield "repeats", 2 * FORWARD * tokens, lambda: tests.repeats(self.twin.model, self.loss)
        yield (
            "modes_agree",
            2 * FORWARD * tokens,
            lambda: tests.modes_agree(self.twin.model, self.loss, within=EXACT),
        )
        yield "padding", 3 * FORWARD * tokens, self.padding
        yield "accumulation", 2 * tokens, self.accumulation
        self.moves: tests.Moves | None = None
        yield "gradients_reach", 2 * tokens, lambda: tests.gradients_reach(self.updated())
        yield (
            "parameters_move",
            0.0 if self.moves else 2 * tokens,
            lambda: tests.parameters_move(self.updated()),
        )
        yield "inputs_matter", 2 * FORWARD * tokens, self.inputs_matter
        yield "fits_one_batch", LEAST_UPDATES * tokens, lambda: self.fits_one_batch(tokens)

    def answer(self, name: str, cost: float, test: Callable[[], Tested]) -> Tested:
        """Return the answer of one test, with the time that it took."""
        if cost > self.left:
            return tests.unmade(name, f"it would take more than {SHARE:.0%} of this run")
        self.left -= cost
        return tests.answered(name, test)

    def loss(self) -> Tensor:
        """Return the mean loss of the small batch."""
        return self._loss(self.batch)

    def first_loss(self) -> Tested:
        """Return how the first loss compares with that of knowing nothing."""
        if self.problem == "regression":
            return tests.unmade("first_loss", "a number to be predicted has no loss that is usual at first")
        rows = self._spaced(MORE_ROWS)
        per_row = self._outcome(self._collated(rows))[0]
        what = f"log({self.classes})" if self.problem == "single_label" else "log(2), a class"
        return tests.first_loss(per_row, self.unknowing, what=f"that of knowing nothing, {what},")

    def padding(self) -> Tested:
        """Return whether padding changes the losses of rows."""
        by_length = self.rows[np.argsort(self.encoded.lengths[self.rows], kind="stable")]
        lengths = self.encoded.lengths[by_length]
        shorter = by_length[lengths < min(int(lengths[-1]), LENGTH)]
        if not len(shorter):
            return tests.unmade("padding", "the rows that were tried are all of one length")
        alone = [self._outcome(self._collated(shorter[i : i + 1]))[0] for i in range(len(shorter))]
        padded = self._outcome(self._collated(by_length))[0]
        return tests.padding(torch.cat(alone), padded[: len(shorter)], within=EXACT)

    def accumulation(self) -> Tested:
        """Return whether a gradient gathered in two unequal parts is that of the whole batch."""
        cut = len(self.rows) * 2 // 3
        if not cut:
            return tests.unmade("accumulation", "one row can't be parted")
        with tests.without_noise(self.twin.model):
            self.twin.model.eval()  # a part has other batch statistics than the whole
            whole = self._gradient([self.batch])
            parts = self._gradient([self._collated(self.rows[:cut]), self._collated(self.rows[cut:])])
            self.twin.model.train()
        return tests.accumulation(whole, parts, 2, within=EXACT)

    def updated(self) -> tests.Moves:
        """Return what two updates of the copy did, as the run would make them at its full rate."""
        if self.moves is None:
            self.twin.optimizers.set_rate(1.0)
            self.twin.model.train()
            self.moves = tests.make_updates(self.twin.trainable, self._backward, self._step)
        return self.moves

    def inputs_matter(self) -> Tested:
        """Return whether the outputs change when each row gets another's inputs; after the updates, since a new head
        may be all zeros."""
        if len(self.rows) < 2:
            return tests.unmade("inputs_matter", "there is one row only")
        moved = {name: tensor.roll(1, dims=0) for name, tensor in self.batch.inputs.items()}
        outputs, shuffled = (
            self._outcome(batch)[1] for batch in (self.batch, replace(self.batch, inputs=moved))
        )
        return tests.inputs_matter(outputs, shuffled)

    def fits_one_batch(self, tokens: float) -> Tested:
        """Return whether the small batch can be memorised from the run's first weights."""
        updates = min(MOST_UPDATES, LEAST_UPDATES + int(self.left / tokens))
        self.twin.weights.load({name: master.detach() for name, master in self.masters.items()})
        self.twin.optimizers.parts.clear()  # what they remember takes twice the weights
        self.moves = None
        if (table := word_embeddings(self.twin.model)) is not None:
            table.sparse = False  # Adam is at home in dense gradients alone
        return tests.fits_one_batch(
            self.twin.model,
            self.loss,
            rows=len(self.rows),
            updates=updates,
            floor=self._floor(),
            unknowing=self.unknowing,
        )

    @property
    def unknowing(self) -> float:
        """The loss of knowing nothing; 0 where it is not known."""
        return {"single_label": math.log(max(1, self.classes)), "multi_label": math.log(2)}.get(
            self.problem, 0.0
        )

    def _floor(self) -> float:
        """Return the least that the loss can be: the entropy of smoothed targets."""
        if self.problem == "regression" or not self.smoothing:
            return 0.0
        classes = self.classes if self.problem == "single_label" else 2
        other = self.smoothing / classes
        right = 1 - other * (classes - 1)
        return -right * math.log(right) - (classes - 1) * other * math.log(other)

    # Rows and batches.

    def _small_batch(self) -> np.ndarray:
        """Return a few short rows that differ in what is tried of them, of each class alike."""
        spaced = self._spaced(CANDIDATES)
        by_length = spaced[np.argsort(self.encoded.lengths[spaced], kind="stable")]
        targets = np.asarray(self.encoded.targets)[by_length]
        kinds = targets if self.problem == "single_label" else np.zeros(len(by_length), dtype=np.int64)
        seen: set[bytes] = set()
        turns: dict[int, int] = {}
        order: list[tuple[int, int, int]] = []
        for place, (row, kind) in enumerate(zip(by_length.tolist(), kinds.tolist(), strict=True)):
            beginning = self.encoded.ids(row)[:LENGTH].tobytes()
            if beginning not in seen:
                seen.add(beginning)
                order.append((turns.get(kind, 0), place, row))
                turns[kind] = turns.get(kind, 0) + 1
        chosen = [row for _, _, row in sorted(order)[:ROWS]]
        return np.array(chosen, dtype=np.int64)

    def _spaced(self, count: int) -> np.ndarray:
        rows = len(self.encoded)
        return np.unique(np.linspace(0, rows - 1, min(count, rows)).round().astype(np.int64))

    def _collated(self, rows: np.ndarray) -> Batch:
        batch = self.task.collate(self.encoded, rows)
        inputs = {name: tensor[:, :LENGTH] for name, tensor in batch.inputs.items()}
        return replace(batch, inputs=inputs).to(self.device)

    # Passes through the copy.

    def _loss(self, batch: Batch) -> Tensor:
        return self.task.loss(self.twin.model, batch).sum / batch.count

    @torch.no_grad()
    def _outcome(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return losses and outputs by row in evaluation mode."""
        self.twin.model.eval()
        loss = self.task.loss(self.twin.model, batch)
        self.twin.model.train()
        return loss.per_row, loss.outputs

    def _gradient(self, batches: list[Batch]) -> Mapping[str, Tensor]:
        """Return the gradient of an update made of `batches`, by parameter."""
        self._gather(batches)
        found = {
            name: p.grad.to_dense().clone() for name, p in self.twin.trainable.items() if p.grad is not None
        }
        self.twin.weights.clear_gradients()
        return found

    def _gather(self, batches: list[Batch]) -> None:
        count = torch.stack([batch.count for batch in batches]).sum()
        for batch in batches:
            forward_backward(self.twin, self.work, batch, count)

    def _backward(self) -> None:
        self._gather([self.batch])

    def _step(self) -> None:
        clip_and_step(self.twin)
        self.twin.weights.clear_gradients()

"""A dry step: some real updates and evaluations and one checkpoint, measured and thrown away."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch

from tunewell import monitors
from tunewell.data.cache import Encoded
from tunewell.monitors import Watch
from tunewell.problems import RunError
from tunewell.training import memory, setup
from tunewell.training.checkpoint import Checkpointer, Snapshot
from tunewell.training.cost import CostModel, largest_first, measure, shape
from tunewell.training.fitted_head import MOST_ROWS
from tunewell.training.loop import forward_backward, split, train_steps
from tunewell.training.measure import to_records
from tunewell.training.plan import StagePlan
from tunewell.training.setup import Prepared
from tunewell.training.state import Tensors, TrainState

MOST_BATCHES = 4000
"""Batches of the run that are looked at, evenly spaced, to know how large its batches are."""
UNUSED_STEPS = 3
"""The first updates of a run are probed, whatever the recipe says; the measured ones stand after them."""
SCATTERED = 1.1
"""Times what a dry step takes of a processor's memory, a whole run takes: freed blocks between those in use become
too small for what is asked for next. Measured by benchmarks.reliability.estimates."""
_LOSS_BYTES = 4
ROOM = 0.9
"""Share of the free memory that a batch may be expected to take and still be tried."""


@dataclass
class StageCosts:
    """What the updates of one stage cost."""

    update: CostModel
    probe_seconds: float
    """By which an update takes longer when the layers are measured."""
    tensor_bytes: int
    """Of a checkpoint in this stage."""


@dataclass
class Measured:
    """What the dry step came to; bytes and seconds."""

    start_seconds: float = 0.0
    shapes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    """(batches, 4) of the run's batches, or of `MOST_BATCHES` of them."""
    evaluated: dict[str, np.ndarray] = field(default_factory=dict)
    """(batches, 4) by split that is evaluated; ``train``: of the rows that a head is fitted to."""
    scoring: dict[str, float] = field(default_factory=dict)
    """Seconds that the scores of each evaluated split take once its outputs are there."""
    stages: list[StageCosts] = field(default_factory=list)
    evaluation: CostModel | None = None
    model_bytes: int = 0
    """Of the weights."""
    initial_bytes: int = 0
    """Of a checkpoint before the first update: the optimizer has no state yet."""
    other_bytes: int = 0
    """Of a checkpoint besides its tensors."""
    log_bytes: int = 0
    """Of the record of one update."""
    snapshot_seconds: float = 0.0
    write_seconds: float = 0.0
    """From a snapshot in memory to the durable commit, beside training."""
    slowdown_seconds: float = 0.0
    """By which the updates made meanwhile took longer."""
    updates: int = 0
    held_bytes: int = 0
    """Memory in use before anything was loaded."""
    peak_bytes: int = 0
    row_bytes: float = 0.0
    """By which the memory in use grows with each row of the longest micro-batch."""
    longest: tuple[int, int] = (0, 0)
    """Rows and tokens a row of the longest micro-batch."""
    fits: bool = True
    """False: it was not tried, for the free memory would not have been enough."""
    trouble: list[str] = field(default_factory=list)


class Trial:
    """One dry step of a prepared run, in about `seconds`; `measured` says what came of it."""

    def __init__(self, prepared: Prepared, seconds: float) -> None:
        without_head = prepared.recipe.model_copy(update={"head_init": "default"})
        self.prepared, self.seconds = dataclasses.replace(prepared, recipe=without_head), seconds
        self.work, self.device = prepared.work, prepared.compute.device
        self.probes = prepared.recipe.probe_steps > 0
        self.measured = Measured()
        self.watch = Watch(monitors.from_recipe(prepared.recipe, prepared.task.main_metric))
        last = self.work.plan.total_steps
        self.cursors = np.unique(np.linspace(0, last - 1, min(last, MOST_BATCHES)).astype(np.int64))

    def run(self, folder: Path) -> Measured:
        """Do the dry step; its checkpoint is written into `folder` for a moment."""
        memory.reset_peak(self.device)
        self.measured.held_bytes = memory.held_bytes(self.device)
        began = time.perf_counter()
        self.state: TrainState = setup.begin(self.prepared)
        self.measured.start_seconds = time.perf_counter() - began
        tensors, _ = self.state.pack()
        self.measured.initial_bytes, self.measured.model_bytes = _bytes(tensors), _bytes(tensors, "model")
        del tensors
        self.measured.shapes = self._update_shapes()
        self._look_for_room()
        memory.release(self.device)
        if self.measured.fits:
            try:
                self._measure(folder)
            except (RuntimeError, MemoryError) as error:
                if not memory.is_out_of_memory(error):
                    raise
                self.measured.fits = False
        peak, before = memory.peak_bytes(self.device), self.measured.held_bytes
        if self.device.type == "cpu":
            peak = before + int((peak - before) * SCATTERED)
        self.measured.peak_bytes = max(self.measured.peak_bytes, peak)
        return self.measured

    def _measure(self, folder: Path) -> None:
        """Do what a run does in its order, so that memory is asked for, given back and split up as there."""
        stages = self.work.plan.stages
        self.measured.evaluation = self._measure_evaluation(self.seconds * 0.2)
        self._save(stages[0], folder)
        for stage in stages:
            self.measured.stages.append(self._measure_stage(stage, self.seconds * 0.6 / len(stages)))
            self._save(stage, folder)
        self._save(stages[-1], folder)

    # Memory, looked at before it is needed: where the system kills who asks for too much, trying is no way to know.

    def _look_for_room(self) -> None:
        """Tell from parts of the longest micro-batch whether all of it would fit."""
        heaviest = max(self.work.plan.stages, key=self._trained)
        self.state.enter(heaviest)
        part = self._longest_part()
        rows, held = len(part), memory.held_bytes(self.device)
        self.measured.longest = (rows, int(self.work.encoded.lengths[part].max()))
        few, more = max(1, rows // 8), max(2, rows // 4)
        if more >= rows:
            return
        free = memory.free_bytes(self.device)
        grown = [self._peak_of(part[-count:]) - held for count in (few, more)]
        self.measured.row_bytes = max(0.0, (grown[1] - grown[0]) / (more - few))
        expected = grown[1] + self.measured.row_bytes * (rows - more)
        if expected > ROOM * free:
            self.measured.fits = False
            self.measured.peak_bytes = int(held + expected) + 2 * self.measured.initial_bytes

    def _longest_part(self) -> np.ndarray:
        cursor = int(self.cursors[largest_first(self.measured.shapes)[0]])
        parts = split(self.work.order.batch_at(cursor), self.state, self.work)
        return parts[int(largest_first(np.stack([shape([p], self.work.encoded.lengths) for p in parts]))[0])]

    def _peak_of(self, rows: np.ndarray) -> int:
        batch = self.work.task.collate(self.work.encoded, rows).to(self.device)
        forward_backward(self.state, self.work, batch, batch.count)
        self.state.weights.clear_gradients()
        return memory.peak_bytes(self.device)

    def _trained(self, stage: StagePlan) -> int:
        self.state.enter(stage)
        return sum(parameter.numel() for parameter in self.state.trainable.values())

    # Updates.

    def _update_shapes(self) -> np.ndarray:
        order, lengths = self.work.order, self.work.encoded.lengths
        batches = (order.batch_at(int(cursor)) for cursor in self.cursors)
        return np.stack([shape(split(rows, self.state, self.work), lengths) for rows in batches])

    def _measure_stage(self, stage: StagePlan, seconds: float) -> StageCosts:
        shapes = self.measured.shapes
        middle = int(largest_first(shapes)[len(shapes) // 2])
        for _ in range(2):  # the first ones are slower: memory is asked for, the optimizer's state is made
            self._update(stage, middle, probed=self.probes)
        update = measure(shapes, lambda number: self._update(stage, number), seconds, shuffled=True)
        pairs = [[self._update(stage, middle, probed=probed) for probed in (False, True)] for _ in range(2)]
        plain, probed = np.median(pairs, axis=0)
        return StageCosts(update, max(0.0, float(probed - plain)), _bytes(self.state.pack()[0]))

    def _update(self, stage: StagePlan, number: int, *, probed: bool = False) -> float:
        """Do the update at `cursors[number]` as an ordinary one of `stage`; return its seconds."""
        state = self.state
        state.progress.step = min(stage.first_step + UNUSED_STEPS, stage.last_step - 1)
        state.adjustments.cursor = int(self.cursors[number])
        state.recipe = self.prepared.recipe.model_copy(update={"probe_steps": int(probed)})
        self.work.order.batch_at(
            state.adjustments.cursor
        )  # a run comes to a new epoch's order once, not at each step
        began = time.perf_counter()
        update = next(train_steps(state, self.work))
        ((step, _, _),) = to_records([update], self.work.encoded.rows)
        self.watch.observe(msgspec.structs.replace(step, step=self.measured.updates))
        seconds = time.perf_counter() - began
        self.measured.updates += 1
        self.measured.fits &= not update.out_of_memory
        self.measured.log_bytes = max(self.measured.log_bytes, len(msgspec.json.encode(step)) + 1)
        return seconds

    # Evaluation.

    def _measure_evaluation(self, seconds: float) -> CostModel:
        batches = []
        for name, rows in self._evaluated_rows().items():
            encoded, size = self.prepared.splits[name], self.prepared.recipe.eval_batch_size
            parts = [rows[start : start + size] for start in range(0, len(rows), size)]
            self.measured.evaluated[name] = np.stack([shape([part], encoded.lengths) for part in parts])
            batches += [(encoded, part) for part in parts]
        shapes = np.concatenate(list(self.measured.evaluated.values()))
        self.state.model.eval()
        with self.state.weights.showing(self.state.average):
            costs = measure(shapes, lambda number: self._forward(*batches[number]), seconds, shuffled=False)
        self.state.model.train()
        for name in self.measured.evaluated:
            self.measured.scoring[name] = min(self._score(self.prepared.splits[name]) for _ in range(2))
        return costs

    def _evaluated_rows(self) -> dict[str, np.ndarray]:
        """Return rows by split, in the order of evaluation; of the training split those that a head is fitted to."""
        splits = self.prepared.splits
        rows = {str(name): np.arange(len(splits[name])) for name in ("validation", "test") if name in splits}
        rows["train"] = np.unique(np.linspace(0, len(splits["train"]) - 1, MOST_ROWS).astype(np.int64))
        return {n: some[np.argsort(-splits[n].lengths[some], kind="stable")] for n, some in rows.items()}

    @torch.inference_mode()
    def _forward(self, encoded: Encoded, rows: np.ndarray) -> float:
        began = time.perf_counter()
        batch = self.work.task.collate(encoded, rows).to(self.device)
        self.work.task.loss(self.state.model, batch).outputs.float().cpu()
        return time.perf_counter() - began

    def _score(self, encoded: Encoded) -> float:
        began = time.perf_counter()
        scorer = self.work.task.scorer(encoded)
        scorer.metrics()
        scorer.by_class()
        return time.perf_counter() - began

    # Checkpoints.

    def _save(self, stage: StagePlan, folder: Path) -> None:
        """Write a checkpoint as a run does, while updates go on, of the size that is to be expected meanwhile."""
        measured = self.measured
        saves = sum(map(self.work.plan.saves_at, range(self.work.plan.total_steps + 1)))
        number = int(largest_first(measured.shapes)[len(measured.shapes) // (saves + 1)])
        began = time.perf_counter()
        tensors, state = self.state.pack()
        rows, judgement = bytes(_LOSS_BYTES * len(self.work.encoded)), {"watch": self.watch.pack()}
        snapshot = Snapshot(0, 0, tensors, {**state, **judgement}, rows, {"reason": "trial"})
        measured.snapshot_seconds, size = time.perf_counter() - began, _bytes(tensors)
        del tensors
        try:
            with tempfile.TemporaryDirectory(prefix=".tunewell-trial-", dir=folder) as root:
                began, updates = time.perf_counter(), []
                checkpointer = Checkpointer(Path(root) / "checkpoints", 2)
                try:
                    writing = checkpointer.write(snapshot)
                    while not writing.wait(0):
                        updates.append(
                            self._update(stage, number, probed=self.probes and not measured.stages)
                        )
                finally:  # after a signal too: the folder can't go while it is written to
                    checkpointer.join()
                measured.write_seconds = time.perf_counter() - began
                if writing.error is not None:
                    raise writing.error
                assert writing.committed is not None
        except RunError as error:
            measured.trouble.append(error.problems[0].message)
        except OSError as error:
            measured.trouble.append(f"nothing can be written in {folder}: {error.strerror or error}")
        else:
            measured.other_bytes = writing.committed.bytes - size
            if measured.stages:
                alone = measured.stages[-1].update.seconds(measured.shapes[[number]])[0] * len(updates)
                measured.slowdown_seconds = max(0.0, sum(updates) - float(alone))


def _bytes(tensors: Tensors, *names: str) -> int:
    """Return the bytes of all parts, or of those named."""
    parts = (tensors[name] for name in names or tensors)
    return sum(tensor.numel() * tensor.element_size() for part in parts for tensor in part.values())

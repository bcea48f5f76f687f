"""`tunewell.watch`: the monitors of Tunewell over a loop in plain PyTorch."""

from __future__ import annotations

import atexit
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tunewell import monitors as all_monitors
from tunewell.integrations import evaluation, look
from tunewell.integrations.act import Hands
from tunewell.integrations.adjustments import Adjustments
from tunewell.integrations.evaluation import MeanLoss
from tunewell.integrations.given_rows import Given, GivenRows
from tunewell.integrations.interventions import Interventions
from tunewell.integrations.journal import Journal
from tunewell.integrations.judging import Judging
from tunewell.integrations.measure import to_records
from tunewell.integrations.opening import computes_on, refuse_unusable, stem_of
from tunewell.integrations.row_order import RowOrder
from tunewell.integrations.rows_learned import RowsLearned
from tunewell.integrations.schedule import Ticks
from tunewell.integrations.snapshots import Snapshots
from tunewell.integrations.update import Update
from tunewell.integrations.updates import Updates
from tunewell.monitors import Verdict, Watch
from tunewell.policies import Judge
from tunewell.probes.ranks import Ranks
from tunewell.records import Ended, Eval, Finding, Note, Record, Started, Step
from tunewell.runs import story
from tunewell.runs.environment import environment

SYNC_UPDATES = 10
"""Updates that may wait to be judged together, which is cheaper and on a GPU saves it from waiting for the processor.
On the processor none waits where a policy may act."""

Status = Literal["completed", "stopped", "interrupted", "failed"]
Rows = Sequence[int] | Tensor


class Watcher:
    """Watches the training of one model by one optimizer; `tunewell.watch` makes it.

    One `Step` is recorded for each update of the optimizer, and an `Inspected` behind those that were looked into.
    Nothing changes a number of the training under the policy ``observe``.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        total_steps: int | None = None,
        train: Given | None = None,
        validation: Given | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        warmup_steps: int | None = None,
        name: str | None = None,
        folder: str | Path | None = "runs",
        policy: str = "observe",
        on: Mapping[str, str] | None = None,
        monitors: Mapping[str, Literal[False] | dict[str, Any]] | None = None,
        probe_steps: int = 20,
        budget: int | None = None,
    ) -> None:
        """See `tunewell.watch`."""
        refuse_unusable(model, optimizer)
        judge = Judge(policy, on=on, budget=budget)
        own_monitors = all_monitors.build(monitors or {})
        self._class_names = list(class_names or [])
        self._given = None if train is None else GivenRows(train, validation, self._class_names)
        self._model, self._warmup_steps = model, warmup_steps
        self._total_steps, self._num_classes = total_steps, num_classes
        adjustments = Adjustments(optimizer)
        self._acts = policy != "observe" or bool(on)
        adjustments.refuses, adjustments.total_steps = judge.policy.guards or bool(on), total_steps
        self._updates = Updates(
            model, optimizer, Ticks(optimizer, scheduler), probe_steps, total_steps, adjustments, self._done
        )
        self._journal = Journal(Watch(own_monitors), None if folder is None else Path(folder), stem_of(name))
        self._ranks = Ranks()
        self._hands = Hands(
            model=model,
            optimizer=optimizer,
            updates=self._updates,
            adjustments=adjustments,
            interventions=Interventions(model),
            snapshots=Snapshots(model, optimizer),
            rows=RowOrder(
                None if self._given is None else len(self._given),
                None if self._given is None else self._given.classes,
            ),
            watch=self._journal.watch,
        )
        self._judging = Judging(self._journal, judge, self._hands, total_steps)
        self._history = None if self._given is None else RowsLearned(self._given, self._class_names)
        self._waiting: list[Update] = []
        self._flushed = self._began = time.perf_counter()
        self._mean_seconds = 0.0
        self._started: Started | None = None
        self._mean_loss = MeanLoss()
        self._closed = False
        self._beginning = optimizer.register_step_pre_hook(self._keep_beginning)
        atexit.register(self._close_at_exit)

    # What a loop calls.

    def loss(
        self,
        loss: Tensor,
        *,
        rows: Rows | None = None,
        row_losses: Tensor | None = None,
        targets: Tensor | None = None,
        outputs: Tensor | None = None,
        divided_by: int | None = None,
    ) -> Tensor:
        """Note the loss of one micro-batch before its backward pass, and return what to differentiate.

        `loss` is one number, the mean over the batch. `rows` are the ids of its rows, `row_losses` (rows,) their
        losses, `targets` (rows,) their classes and `outputs` (rows, classes) the logits: what is not given is read from the
        graph of the loss, where it is a cross-entropy, a squared error or a binary cross-entropy. `divided_by` is the
        number of the update's micro-batches where the loss is divided by it already and the graph does not show it.
        Raises `RunError` for what is no loss, or for one that went backward already.
        """
        if not self._closed:
            ids = None if rows is None else [int(row) for row in rows]
            found = self._updates.take(loss, ids, row_losses, targets)
            if divided_by is not None:
                found.divisor = float(divided_by)
        return loss

    def forward_begins(self, batch: Any) -> None:
        """See the batch of the coming forward pass: for loops that call parts of the model and never the whole."""
        if not self._closed:
            self._updates.forwards.announce(batch)

    def evaluated(
        self,
        loss: float | Tensor,
        metrics: Mapping[str, float] | None = None,
        *,
        split: str = "validation",
        targets: Rows | None = None,
        predictions: Rows | None = None,
        train_loss: float | None = None,
    ) -> None:
        """Note an evaluation: its mean loss, metrics by name, and the classes of its rows as they are and as told."""
        if self._closed:
            return
        self._flush()
        record = Eval(
            time=time.time(),
            step=self._updates.step,
            epoch=self._epoch(),
            split=split,
            loss=float(loss),
            seconds=0.0,
            train_loss=self._mean_loss.taken() if train_loss is None else train_loss,
            in_training=self._updates.forwards.evaluated_in_training(),
            **evaluation.scores(metrics or {}, targets, predictions, self._class_names),
        )
        if self._acts:
            self._judging.keep_if_best(record)
        self._record(record)
        self._judging.end_with_best(is_over=False)
        self._updates.forwards.forget()

    def batches(self, order: Iterable[Sequence[int]]) -> Iterator[list[int]]:
        """Yield the batches of row ids of `order` as they are to be trained on.

        They are those of `order` until an action leaves rows out, draws them at random or balances classes. `order` may
        be any iterable of lists of indexes into the training rows, such as a PyTorch `BatchSampler`.
        """
        for rows in self._hands.rows.batches(order):
            self._updates.batch_rows = rows
            yield rows
        self._updates.batch_rows = None

    def close(self, status: Status = "completed", reason: str = "") -> None:
        """End the record and take every hook away; harmless when repeated."""
        if self._closed:
            return
        self._flush()
        self._judging.refuse_rest()
        if status in ("completed", "stopped"):
            self._judging.end_with_best(is_over=True)
        self._updates.remove()
        self._hands.interventions.remove()
        self._beginning.remove()
        for monitor, verdict in self.verdicts().items():
            if verdict.kind != "seen":
                self._note(f"{monitor.replace('_', ' ')}: {verdict.text}", "verdict")
        for text in self._updates.remarks():
            self._note(text, "watch")
        self._record(
            Ended(
                time=time.time(),
                step=self._updates.step,
                status=status,
                reason=reason or "the loop ended",
                seconds=time.perf_counter() - self._began,
            )
        )
        self._journal.close()
        self._closed = True
        atexit.unregister(self._close_at_exit)

    # What can be read.

    @property
    def records(self) -> list[Record]:
        """All records so far, in order."""
        if not self._closed:
            self._flush()
        return self._journal.records

    @property
    def findings(self) -> list[Finding]:
        """What the monitors saw, in order."""
        return [record for record in self.records if isinstance(record, Finding)]

    @property
    def excluded(self) -> frozenset[int]:
        """Ids of the rows that are not to be trained on any more."""
        return frozenset(self._hands.rows.excluded)

    @property
    def should_stop(self) -> bool:
        """Whether the policy asks the loop to end."""
        return self._hands.stop is not None

    def lets_ask(self, *actions: str) -> None:
        """Say which actions a loop does itself where `asks_for` says so: ``evaluate_now``, ``save_now``."""
        self._hands.left_to_loop = frozenset(actions)

    def asks_for(self, action: str) -> bool:
        """Return, once, whether somebody asks the loop for this."""
        asked = action in self._hands.asked_of_loop
        self._hands.asked_of_loop.discard(action)
        return asked

    @property
    def folder(self) -> Path | None:
        """Where the log is written; None: nowhere."""
        return self._journal.folder

    def verdicts(self) -> dict[str, Verdict]:
        """Return by monitor what can be said of its fault up to now."""
        if not self._closed:
            self._flush()
        return self._journal.watch.verdicts()

    def why(self) -> str:
        """Return in plain words what went wrong up to now, as `tunewell why` tells it."""
        return story.as_text(story.why(self.records))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif isinstance(error, KeyboardInterrupt):
            self.close("interrupted", "KeyboardInterrupt")
        else:
            self.close("failed", f"{type(error).__name__}: {error}")

    # Behind an update.

    def _keep_beginning(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Copy the training as it stands before its first update."""
        if self._acts and self._updates.step == 0:
            self._hands.snapshots.take(0, self._journal.watch.pack())

    def _done(self, update: Update) -> None:
        if update.looked_at:
            look.of_machine(
                update, self._updates.parameters, self._ranks, self._journal.log, self._total_steps
            )
        self._waiting.append(update)
        at_once = self._acts and update.passes[0].loss.is_cpu
        is_called = self._judging.is_called()
        if at_once or update.looked_at or is_called or len(self._waiting) >= SYNC_UPDATES:
            self._flush()

    def _flush(self) -> None:
        updates, self._waiting = self._waiting, []
        if not updates:
            return
        now = time.perf_counter()
        if not updates[0].passes[0].loss.is_cpu:  # a step there only launches work: they share the time
            for update in updates:
                update.seconds = (now - self._flushed) / len(updates)
        self._flushed = now
        self._begin(updates[0])
        epoch_of_row = 0.0 if self._given is None else 1 / max(1, len(self._given))
        measured = to_records(updates, self._class_names, epoch_of_row)
        restored = self._hands.snapshots.restored
        for update, (step, inspected) in zip(updates, measured, strict=True):
            if self._hands.snapshots.restored != restored:
                break  # they were undone before anyone saw them
            self._mean_loss.add(step.loss, step.rows)
            self._mean_seconds += 0.1 * (step.seconds - self._mean_seconds)
            self._record(step)
            if inspected is not None and self._hands.snapshots.restored == restored:
                self._record(inspected)
            if update.looked_at:
                self._updates.reads_losses = not update.is_plain
            self._note_rows(update)
        self._judging.read_inbox()
        self._keep_healthy(measured[-1][0])

    def _note_rows(self, update: Update) -> None:
        for one in update.passes:
            if one.rows is not None and one.targets is not None:
                self._hands.rows.note_classes(one.rows, one.targets.tolist())
        reviewed = None if self._history is None else self._history.note(update)
        if reviewed is not None:
            self._record(reviewed)

    def _keep_healthy(self, step: Step) -> None:
        """Copy the training where nothing speaks against it and a copy is due."""
        snapshots, watch = self._hands.snapshots, self._journal.watch
        is_well = self._acts and watch.incident is None and not step.skipped
        if is_well and snapshots.is_due(step.step, self._mean_seconds):
            snapshots.take(step.step, watch.pack())

    def _begin(self, first: Update | None) -> None:
        """Log the beginning, once the first update shows what nobody said: how many classes there are."""
        if self._started is not None:
            return
        parameters, given = list(self._model.parameters()), self._given
        counts = {} if given is None else given.counts()
        rows = {} if given is None else {"train": len(given), "validation": given.num_validation}
        batch = 0 if first is None else sum(one.row_count for one in first.passes)
        self._started = Started(
            time=time.time(),
            run=self._journal.name,
            recipe_hash="",
            data_hash="",
            fingerprint=environment(computes_on(parameters)),
            total_steps=self._total_steps or 0,
            warmup_steps=self._warmup_steps,
            batches_per_epoch=math.ceil(len(given) / batch) if given is not None and batch else 0,
            num_rows={split: count for split, count in rows.items() if count},
            trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
            total_parameters=sum(p.numel() for p in parameters),
            num_classes=self._num_classes or (0 if first is None else evaluation.classes_of(first)),
            class_counts=counts,
        )
        self._record(self._started)
        if given is not None:
            self._record(given.checked(self._hands.rows.first_batches))

    def _record(self, record: Record) -> None:
        if not isinstance(record, Started):
            self._begin(None)
        self._judging.record(record)

    def _note(self, text: str, topic: str) -> None:
        self._record(Note(time=time.time(), step=self._updates.step, text=text, topic=topic))

    def _epoch(self) -> float:
        return 0.0 if self._given is None else round(self._updates.rows / max(1, len(self._given)), 6)

    def _close_at_exit(self) -> None:
        error = getattr(sys, "last_value", None)
        if error is None:
            self.close()
        else:
            self.close("failed", f"{type(error).__name__}: {error}")

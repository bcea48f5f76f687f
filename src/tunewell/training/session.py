"""A run while it trains: the loop's updates become records, records findings, findings actions, all in the log."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tunewell.actions import Action
from tunewell.monitors import Watch, is_falling
from tunewell.policies import Facts, Judge
from tunewell.records import (
    Acted,
    Committed,
    Ended,
    Eval,
    Finding,
    Note,
    Record,
    StageBegan,
)
from tunewell.runs import checkpoints
from tunewell.runs.checkpoints import Commit
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.runs.row_history import RowHistory
from tunewell.training import act, checkpoint, result
from tunewell.training.checkpoint import Checkpointer
from tunewell.training.evaluate import EvaluationInterruptedError, evaluate
from tunewell.training.evaluate import Outcome as Evaluation
from tunewell.training.interruption import Interruption
from tunewell.training.loop import Update, train_steps
from tunewell.training.measure import to_steps
from tunewell.training.setup import Prepared, parameter_counts
from tunewell.training.state import Tensors, TrainState

SYNC_STEPS = 10
"""Updates measured on a GPU between two transfers to the processor; on the processor nothing waits."""


class Session:
    """One process's part of a run, from its start or a resume to its end or a signal."""

    def __init__(
        self,
        prepared: Prepared,
        state: TrainState,
        folder: RunFolder,
        log: LogWriter,
        watch: Watch,
        judge: Judge,
    ) -> None:
        self.prepared, self.state, self.folder, self.log = prepared, state, folder, log
        self.watch, self.judge = watch, judge
        self.recipe, self.work, self.plan = prepared.recipe, prepared.work, prepared.work.plan
        self.checkpointer = Checkpointer(folder.checkpoints, self.recipe.save_total_limit)
        self.history = RowHistory(folder.rows, [int(row) for row in self.work.encoded.rows])
        self.interruption = Interruption()
        self.wishes = act.Wishes()
        self.waiting: list[Update] = []
        self.durable: list[Committed] = []
        self.troubled = False
        self.saved_at: tuple[int, int] | None = None
        self.rollbacks = 0
        self.learning_rate = 0.0
        self.began = self.measured = time.perf_counter()
        self.best_metric = self.recipe.metric_for_best_model or self.work.task.main_metric

    def run(self) -> Iterator[Record]:
        """Train to the plan's end, to a `Stop` or to a signal; yield each record once it is logged."""
        yield from self._boundary()
        if not self._ends():
            for update in train_steps(self.state, self.work):
                yield from self._enter_stage()
                self.waiting.append(update)
                if self._must_sync():
                    yield from self._measure()
                    yield from self._boundary()
                if self._ends():
                    break
        yield from self._finish()

    def record(self, record: Record) -> Iterator[Record]:
        """Log one record, and whatever the monitors find in it and the policy does about it."""
        self.log.append(record)
        yield record
        findings = self.watch.observe(record)
        for found in findings:
            finding = msgspec.structs.replace(found, time=time.time())
            self.troubled |= finding.severity == "critical"
            self.log.append(finding)
            yield finding
        if findings:
            yield from self._judge(findings)

    def note(self, text: str, topic: str) -> Iterator[Record]:
        """Log something that a reader should know."""
        yield from self.record(Note(time=time.time(), step=self.state.progress.step, text=text, topic=topic))

    # The parts of a step's end, in their order.

    def _measure(self) -> Iterator[Record]:
        updates, self.waiting = self.waiting, []
        if not updates:
            return
        row_ids, rollbacks = self.work.encoded.rows, self.rollbacks
        measured = to_steps(updates, row_ids)
        if self.work.compute.device.type != "cpu":
            # A step there only launches work: the updates share the time until now.
            seconds = (time.perf_counter() - self.measured) / len(updates)
            measured = [(msgspec.structs.replace(step, seconds=seconds), losses) for step, losses in measured]
        for update, (step, losses) in zip(updates, measured, strict=True):
            if self.rollbacks != rollbacks:
                return  # the updates after it were undone before anyone saw them
            self.history.note(self._epoch_of(update), row_ids[update.rows].tolist(), losses.tolist())
            if math.isfinite(step.loss):
                self.state.progress.loss_sum += step.loss * step.rows
                self.state.progress.loss_count += step.rows
            self.learning_rate = step.learning_rate
            yield from self.record(step)

    def _boundary(self) -> Iterator[Record]:
        """Do what is due between two steps: evaluate, commit, tell of commits that became durable."""
        due = self._evaluation_is_due() or self.wishes.evaluate
        if due and not self.interruption.came():
            yield from self._evaluate()
        if self.interruption.came():
            return
        scheduled = self.plan.saves_at(self.state.progress.step) and self.saved_at != self._position()
        if due or self.wishes.save or scheduled:
            yield from self._commit("action" if self.wishes.save else "evaluation" if due else "interval")
        yield from self._tell_commits(self.checkpointer.finished())
        self.measured = time.perf_counter()

    def _evaluation_is_due(self) -> bool:
        step = self.state.progress.step
        return self.plan.evaluates_at(step) and self.state.progress.evaluated_at != step

    def _tell_commits(self, durable: list[Committed]) -> Iterator[Record]:
        waiting, self.durable = [*self.durable, *durable], []
        for committed in waiting:
            yield from self.record(committed)

    def _judge(self, findings: list[Finding]) -> Iterator[Record]:
        applied = False
        for proposal in self.judge.decide(findings, self._facts()):
            outcome = act.apply(proposal.action, self.state, self.plan, self, self.wishes, proposal.reason)
            applied |= outcome.outcome == "applied"
            yield from self.record(self._acted(proposal.action, proposal.by, proposal.reason, outcome))
            if outcome.rewound is not None:
                yield from self.record(outcome.rewound)
        self.wishes.save |= applied  # at the boundary, which comes before the next update

    def _acted(self, action: Action, by: str, reason: str, outcome: act.Outcome) -> Acted:
        step = outcome.rewound.step if outcome.rewound else self.state.progress.step
        return Acted(
            time=time.time(),
            step=step,
            action=action,
            by=by,
            reason=reason,
            outcome=outcome.outcome,
            detail=outcome.detail,
        )

    def _enter_stage(self) -> Iterator[Record]:
        """Log the stage of the update that just came, if it is that stage's first."""
        update_stage = self.plan.stages[self.state.progress.stage]
        if self.state.progress.step == update_stage.first_step + 1:
            trained, total = parameter_counts(self.state.model)
            yield from self.record(
                StageBegan(
                    time=time.time(),
                    step=update_stage.first_step,
                    stage=update_stage.index,
                    name=update_stage.name,
                    trainable_parameters=trained,
                    total_parameters=total,
                    first_step=update_stage.first_step,
                    last_step=update_stage.last_step,
                )
            )

    # Evaluation and the best model.

    def _evaluate(self) -> Iterator[Record]:
        self.wishes.evaluate = False
        progress = self.state.progress
        splits = ["test", "validation"] if progress.step == 0 else ["validation"]
        try:  # all before any is logged: a resume does all again
            done = {split: self.evaluation(split) for split in splits if split in self.prepared.splits}
        except EvaluationInterruptedError:
            return
        train_loss = progress.loss_sum / progress.loss_count if progress.loss_count else None
        progress.evaluated_at = progress.step  # before the scores are judged: what follows may be a rollback
        progress.loss_sum = progress.loss_count = 0.0
        for split, (evaluation, seconds) in done.items():
            yield from self._score(split, evaluation, seconds, train_loss)

    def _score(
        self, split: str, evaluation: Evaluation, seconds: float, train_loss: float | None
    ) -> Iterator[Record]:
        progress = self.state.progress
        value = evaluation.loss if self.best_metric == "loss" else evaluation.metrics[self.best_metric]
        best = split == "validation" and self._is_better(value)
        if best:
            progress.best_value, progress.best_step, progress.best_commit = value, progress.step, None
        yield from self.record(
            Eval(
                time=time.time(),
                step=progress.step,
                epoch=round(self.work.order.epoch_at(self.state.adjustments.cursor), 6),
                split=split,
                loss=evaluation.loss,
                metrics=evaluation.metrics,
                rows=len(evaluation.targets),
                seconds=seconds,
                train_loss=train_loss,
                best=best,
            )
        )

    def evaluation(self, split: str) -> tuple[Evaluation, float]:
        """Return how the weights, averaged where the recipe asks for it, do on `split`, and the seconds it took."""
        began = time.perf_counter()
        with self.state.weights.showing(self.state.average):
            outcome = evaluate(
                self.work.task,
                self.state.model,
                self.prepared.splits[split],
                self.recipe.eval_batch_size,
                self.work.compute.device,
                self.interruption.came,
            )
        return outcome, time.perf_counter() - began

    def _is_better(self, value: float) -> bool:
        best = self.state.progress.best_value
        if not math.isfinite(value):
            return False
        if best is None:
            return True
        return value < best if is_falling(self.best_metric) else value > best

    # Checkpoints: `act.CommitStore`.

    def last_healthy(self, before: int) -> Commit | None:
        """Return the newest healthy commit of a step less than `before` that verifies, or None."""
        self.durable += self.checkpointer.finished(wait=True)
        found = [c for c in checkpoints.commits(self.folder.checkpoints) if c.healthy and c.step < before]
        return next((c for c in reversed(found) if not checkpoints.verify(c)), None)

    def restore(self, commit: Commit) -> None:
        """Load weights, optimizer and monitors of `commit`; cursor, adjustments and row losses stay."""
        tensors, facts, _ = checkpoint.load(commit)
        self.rollbacks += 1
        self.troubled = False
        stage = self.plan.stages[max(facts["progress"]["stage"], 0)]
        self.state.unpack(tensors, facts, stage, keep_adjustments=True)
        self.watch.unpack(facts["watch"])

    def _commit(self, reason: str) -> Iterator[Record]:
        """Begin to write a checkpoint; weights that are not finite are never committed."""
        self.wishes.save = False
        progress = self.state.progress
        if not self.state.is_finite():
            yield from self.note("the weights are not finite: this state is not saved", "checkpoint")
            return
        if progress.best_step == progress.step and progress.best_commit is None:
            progress.best_commit = self.checkpointer.next_commit
        self.log.sync()  # a commit is no better than the log that it belongs to
        length, digest = self.log.position()
        facts = {
            "reason": reason,
            "best_commit": progress.best_commit,
            "healthy": not self.troubled and self.watch.incident is None,
            "log_length": length,
            "log_digest": digest,
            "order_version": self.work.order.VERSION,
            "recipe_hash": self.recipe.hash(),
        }
        durable = self.checkpointer.save(progress.step, self._snapshot, self.history.pack(), facts, {0})
        self.saved_at, self.troubled = self._position(), False
        yield from self._tell_commits(durable)

    def _snapshot(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, facts = self.state.pack()
        judgement = {"watch": self.watch.pack(), "judge": self.judge.pack()}
        return tensors, {**facts, **judgement, "wishes": msgspec.to_builtins(self.wishes)}

    def unpack(self, tensors: Tensors, facts: dict[str, Any], rows: bytes) -> None:
        """Stand where the commit that holds these was made."""
        stage = self.plan.stages[max(facts["progress"]["stage"], 0)]
        self.state.unpack(tensors, facts, stage, keep_adjustments=False)
        self.watch.unpack(facts["watch"])
        self.judge.unpack(facts["judge"])
        self.wishes = msgspec.convert(facts["wishes"], act.Wishes)
        self.history.unpack(rows)
        self.saved_at = self._position()

    def _facts(self) -> Facts:
        # Waited for: what a policy can choose must not hang on how fast the disk is.
        self.durable += self.checkpointer.finished(wait=True)
        stage = self.plan.stage_at(self.state.progress.step)
        return Facts(
            step=self.state.progress.step,
            last_step=self.plan.total_steps,
            learning_rate=self.learning_rate,
            has_validation="validation" in self.prepared.splits,
            early_stopping=self.recipe.early_stopping_patience is not None,
            lr_scheduler=stage.scheduler,
            healthy_commits=tuple(c.step for c in checkpoints.commits(self.folder.checkpoints) if c.healthy),
        )

    # The end.

    def _finish(self) -> Iterator[Record]:
        yield from self._measure()
        if self.interruption.came():
            yield from self._commit("signal")
            yield from self._tell_commits(self.checkpointer.finished(wait=True))
            yield from self._end(self._ended("interrupted", str(self.interruption.name)))
            return
        if self.saved_at != self._position():
            yield from self._commit("end")
        yield from self._tell_commits(self.checkpointer.finished(wait=True))
        for monitor, verdict in self.watch.verdicts().items():
            if verdict.kind != "seen":
                yield from self.note(f"{monitor.replace('_', ' ')}: {verdict.text}", "verdict")
        stop = self.wishes.stop
        if stop is not None and not stop.success:
            ended = self._ended("stopped", self.wishes.stop_reason)
        else:
            ended = self._ended("completed", self.wishes.stop_reason if stop else "all steps done")
        try:
            yield from result.write(self, ended)
        except EvaluationInterruptedError:  # all is saved: a resume has only this to do again
            ended = self._ended("interrupted", str(self.interruption.name))
        yield from self._end(ended)

    def _end(self, ended: Ended) -> Iterator[Record]:
        self.history.write()
        seconds = time.perf_counter() - self.began
        yield from self.record(msgspec.structs.replace(ended, time=time.time(), seconds=seconds))

    def _ended(self, status: Literal["completed", "stopped", "interrupted"], reason: str) -> Ended:
        progress = self.state.progress
        return Ended(
            step=progress.step,
            status=status,
            reason=reason,
            best_step=progress.best_step,
            best_value=progress.best_value,
            best_metric=self.best_metric,
        )

    def _ends(self) -> bool:
        done = self.state.progress.step >= self.plan.total_steps
        return done or self.interruption.came() or self.wishes.stop is not None

    def _must_sync(self) -> bool:
        step = self.state.progress.step
        if self.work.compute.device.type == "cpu" or len(self.waiting) >= SYNC_STEPS:
            return True
        ends_stage = any(stage.last_step == step for stage in self.plan.stages)
        return ends_stage or self._ends() or self.plan.saves_at(step)

    def _position(self) -> tuple[int, int]:
        return self.state.progress.step, self.state.adjustments.cursor

    def _epoch_of(self, update: Update) -> int:
        return int(self.work.order.epoch_at(update.cursor))

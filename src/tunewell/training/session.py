"""A run while it trains: the loop's updates become records, records findings, findings actions, all in the log."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, Literal

import msgspec
import numpy as np

from tunewell import plugins
from tunewell.actions import Action, Pause, Resume, Rollback, SetMicroBatchTokens
from tunewell.monitors import Watch
from tunewell.policies import Decision, Facts, Judge, Proposal
from tunewell.probes.machine import MachineUse
from tunewell.problems import RunError
from tunewell.records import Acted, Ended, Note, Proposed, Record, StageBegan
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter
from tunewell.training import act, result, space
from tunewell.training.evaluate import EvaluationInterruptedError, Outcome
from tunewell.training.hearing import Hearing
from tunewell.training.interruption import Interruption
from tunewell.training.loop import Update, train_steps
from tunewell.training.measure import label_counter, to_records
from tunewell.training.reviewing import Reviewing
from tunewell.training.row_record import RowRecord
from tunewell.training.saving import Saving
from tunewell.training.setup import Prepared, parameter_counts
from tunewell.training.state import TrainState
from tunewell.training.tracking import forwarding
from tunewell.training.validation import validate
from tunewell.training.watchdog import Watchdog

SYNC_STEPS = 10
"""Updates measured on a GPU between two transfers to the processor; on the processor nothing waits."""


class Session:
    """One process's part of a run, from its start or a resume to its end or a signal.

    `identity` are facts for every commit's manifest: what recipe, data and order of batches it belongs to.
    """

    def __init__(
        self,
        prepared: Prepared,
        state: TrainState,
        folder: RunFolder,
        log: LogWriter,
        watch: Watch,
        judge: Judge,
        interruption: Interruption,
        identity: dict[str, Any],
    ) -> None:
        self.prepared, self.state, self.folder, self.log = prepared, state, folder, log
        self.watch, self.judge, self.interruption, self.identity = watch, judge, interruption, identity
        self.recipe, self.work, self.plan = prepared.recipe, prepared.work, prepared.work.plan
        self.rows = RowRecord(prepared, folder)
        self.reviewing = Reviewing(prepared, folder)
        self.saving = Saving(self)
        self.machine = MachineUse()
        self.watchdog = Watchdog(self._tell_stall)
        self.wishes = act.Wishes()
        self.forwarding = forwarding(self.recipe, folder)
        self.hearing = Hearing(self)
        self.waiting: list[Update] = []
        self.stalls: deque[Note] = deque()
        self.troubled = self.has_ended = False
        self.eval_batch_size = self.recipe.eval_batch_size
        self.learning_rate = 0.0
        self.began = self.measured = time.perf_counter()
        self.best_metric = self.recipe.metric_for_best_model or self.work.task.main_metric
        encoded, dataset = self.work.encoded, prepared.dataset
        self.count_labels = label_counter(dataset.problem, encoded.targets, dataset.labels)

    def run(self) -> Iterator[Record]:
        """Train to the plan's end, to a `Stop` or to a signal; yield each record once it is logged."""
        yield from self.saving.foresee(space.commit_bytes(self.state))
        yield from self._boundary()
        if not self._ends():
            for update in train_steps(self.state, self.work, self.poll):
                yield from self._enter_stage()
                self.waiting.append(update)
                if self._must_sync():
                    yield from self._measure()
                    yield from self._boundary()
                if self._ends():
                    break
        yield from self._finish()

    def poll(self, phase: str) -> bool:
        """Tell whether a signal asks the run to end; `phase` is what it does next, for the watchdog."""
        stalled = self.watchdog.beat(phase)
        if stalled:
            self._tell_stall(f"it moves again after {stalled:,.0f} s")
        return self.interruption.came()

    def record(self, record: Record) -> Iterator[Record]:
        """Log one record, and whatever the monitors find in it and the policy does about it."""
        yield self._logged(record)
        findings = [msgspec.structs.replace(one, time=time.time()) for one in self.watch.observe(record)]
        for finding in findings:
            self.troubled |= finding.severity == "critical"
            yield self._logged(finding)
        for decision in self.judge.follow(record, findings, self._facts):
            yield from self._carry_out(decision)

    def _logged(self, record: Record) -> Record:
        try:
            self.log.append(record)
            if isinstance(record, Proposed):  # whoever is asked must be able to read it now
                self.log.flush()
        except RunError as error:  # it stays in memory; the next commit waits until it can be written
            self.saving.trouble = error.problems[0].message
        self.forwarding.take(record)
        self.watchdog.beat("whoever reads the records")
        return record

    def _tell_stall(self, text: str) -> None:
        """Log a stall while it lasts, from the watchdog's thread; whoever reads the records gets it later."""
        note = Note(time=time.time(), step=self.state.progress.step, text=text, topic="stall")
        self.stalls.append(note)
        with contextlib.suppress(RunError):
            self.log.append(note)
            self.log.flush()

    def note(self, text: str, topic: str) -> Iterator[Record]:
        """Log something that a reader should know."""
        yield from self.record(Note(time=time.time(), step=self.state.progress.step, text=text, topic=topic))

    # The parts of a step's end, in their order.

    def _measure(self) -> Iterator[Record]:
        updates, self.waiting = self.waiting, []
        if not updates:
            return
        rollbacks = self.saving.rollbacks
        measured = to_records(updates, self.work.encoded.rows, self.count_labels)
        # On a GPU a step only launches work: the updates share the time until now.
        seconds = (time.perf_counter() - self.measured) / len(updates)
        is_async = self.work.compute.device.type != "cpu"
        for update, (step, seen, losses) in zip(updates, measured, strict=True):
            if self.saving.rollbacks != rollbacks:
                return  # the updates after it were undone before anyone saw them
            self._remember(update, losses)
            if math.isfinite(step.loss):
                self.state.progress.loss_sum += step.loss * step.rows
                self.state.progress.loss_count += step.rows
            self.learning_rate = step.learning_rate
            if update.out_of_memory:
                yield from self._split_further(update)
            yield from self.record(msgspec.structs.replace(step, seconds=seconds) if is_async else step)
            if seen is not None and self.saving.rollbacks == rollbacks:
                looked = self.machine.added(seen, step, self.work.compute.device, self.watch.seconds)
                yield from self.record(self.saving.with_disk(looked))
            for reviewed in self.reviewing.ended(update.step, update.epoch):
                yield from self.record(reviewed)

    def _remember(self, update: Update, losses: np.ndarray) -> None:
        """Keep what the update's rows came to: their history tells which of them are hard, or wrong."""
        try:
            self.rows.note(update, losses)
        except RunError as error:  # they stay in memory and in the checkpoints, and are tried again
            self.saving.trouble = error.problems[0].message
        self.reviewing.note(update)

    def keep_rows(self, outcome: Outcome) -> None:
        """Keep what an evaluation says of each validation row; training goes on without where the disk refuses."""
        step, cursor = self.position()
        try:
            self.rows.evaluated(step, cursor, outcome)
        except RunError as error:
            self.saving.trouble = error.problems[0].message

    def _boundary(self) -> Iterator[Record]:
        """Hear people and do what is due between two steps, again and again while somebody wants a pause."""
        while True:
            yield from self.hearing.hear()
            if self.wishes.paused and not (self.wishes.evaluate or self.wishes.save):
                yield from self.hearing.wait()
            elif (yield from self._do_what_is_due()) and not self.wishes.paused:
                break
            if self.interruption.came():
                break
        self.measured = time.perf_counter()

    def _do_what_is_due(self) -> Generator[Record, None, bool]:
        """Evaluate, commit, tell of commits that became durable; return False where people are to be heard first."""
        evaluated = False
        is_due = self._evaluation_is_due() or self.wishes.evaluate
        if is_due and not self.interruption.came() and not self.hearing.hurries:
            evaluated = yield from validate(self)
            if not evaluated and not self.interruption.came():
                return False
        scheduled = self.plan.saves_at(self.state.progress.step) and self.saving.saved_at != self.position()
        if evaluated:
            yield from self.saving.commit("action" if self.wishes.save else "evaluation")
        elif (self.wishes.save or scheduled) and not self.interruption.came():
            yield from self.saving.commit("action" if self.wishes.save else "interval")
        yield from self.saving.tell()
        for text in self.forwarding.remarks():
            yield from self.note(text, "log_to")
        while self.stalls:
            yield self.stalls.popleft()
        return True

    def _evaluation_is_due(self) -> bool:
        step = self.state.progress.step
        return self.plan.evaluates_at(step) and self.state.progress.evaluated_at != step

    def _carry_out(self, decision: Decision) -> Iterator[Record]:
        """Do what is proposed and log it, or log what the judge has to say."""
        if isinstance(decision, Proposal):
            yield from self.act_on(decision, for_show=self.judge.is_for_show(decision))
        else:
            yield from self.record(msgspec.structs.replace(decision, time=time.time()))

    def act_on(
        self, proposal: Proposal, request: str = "", *, for_show: bool = False
    ) -> Generator[Record, None, Acted]:
        """Carry out an action and log it; `request` is the id of a person's request that it answers."""
        action = proposal.action
        if isinstance(action, Rollback) and not for_show:
            self.saving.commits()  # none is being written then: what is durable is told before what goes back to it
            yield from self.saving.tell()
        if for_show:
            outcome = act.Outcome("dry_run", "nothing was changed (`dry_run_actions`)")
        else:
            outcome = act.apply(action, self.state, self.work, self.saving, self.wishes, proposal.reason)
        # At the boundary, which comes before the next update.
        self.wishes.save |= outcome.outcome == "applied" and not isinstance(action, Pause | Resume)
        acted = msgspec.structs.replace(
            self._acted(action, proposal.by, proposal.reason, outcome),
            code=proposal.finding_code,
            remedy=proposal.remedy,
            request=request,
        )
        yield from self.record(acted)
        if outcome.rewound is not None:
            yield from self.record(outcome.rewound)
        return acted

    def _split_further(self, update: Update) -> Iterator[Record]:
        """Log that memory ran out at `update` and what the loop did about it."""
        tokens = self.state.adjustments.max_micro_batch_tokens
        assert tokens is not None
        detail = f"at most {tokens:,} tokens at once from now on; updates stay what they are"
        action = SetMicroBatchTokens(tokens)
        outcome = act.Outcome("applied", detail)
        yield from self.record(self._acted(action, "tunewell", update.out_of_memory, outcome))

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
            undo=outcome.undo,
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

    def _facts(self) -> Facts:
        stage = self.plan.stage_at(self.state.progress.step)
        return Facts(
            step=self.state.progress.step,
            last_step=self.plan.total_steps,
            learning_rate=self.learning_rate,
            has_validation="validation" in self.prepared.splits,
            early_stopping=self.recipe.early_stopping_patience is not None,
            lr_scheduler=stage.scheduler,
            healthy_commits=self.saving.steps_of_healthy(),
            actions=act.POSSIBLE,
            batches_per_epoch=self.plan.batches_per_epoch,
            max_grad_norm=self.state.adjustments.max_grad_norm,
        )

    # The end.

    def _finish(self) -> Iterator[Record]:
        yield from self._measure()
        interrupted = self.interruption.came()
        if self.saving.saved_at != self.position():
            yield from self.saving.commit("signal" if interrupted else "end")
        yield from self.saving.settle()
        if interrupted:
            yield from self._end(self._ended("interrupted", str(self.interruption.name)))
            return
        yield from self.hearing.refuse_rest()
        verdicts = self.watch.verdicts()
        told = {name: verdict.text for name, verdict in verdicts.items() if verdict.kind != "seen"}
        off = set(plugins.names("monitors")) - set(verdicts)
        told |= dict.fromkeys(off, "could not be checked: the recipe switched it off")
        for monitor, text in sorted(told.items()):
            yield from self.note(f"{monitor.replace('_', ' ')}: {text}", "verdict")
        stop = self.wishes.stop
        if stop is not None and not stop.success:
            ended = self._ended("stopped", self.wishes.stop_reason)
        else:
            ended = self._ended("completed", self.wishes.stop_reason if stop else "all steps done")
        try:
            yield from result.write(self, ended)
        except EvaluationInterruptedError:  # all is saved: a resume has only this to do again
            ended = self._ended("interrupted", str(self.interruption.name))
        else:
            yield from self.hearing.refuse_rest()
        yield from self._end(ended)

    def _end(self, ended: Ended) -> Iterator[Record]:
        try:
            self.rows.write()
        except RunError:
            # Of an interrupted run they are in the commit too, and the disk is told of already.
            if ended.status != "interrupted":
                raise
        seconds = time.perf_counter() - self.began
        self.has_ended = True
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
        return ends_stage or self._ends() or self.plan.saves_at(step) or self.hearing.is_called()

    def position(self) -> tuple[int, int]:
        """Return what names a moment of the run: updates made, and batches gone through."""
        return self.state.progress.step, self.state.adjustments.cursor

"""Between records and actions: what is logged is judged, what follows is carried out, and that is logged in turn."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import msgspec

from tunewell.actions import Rollback
from tunewell.integrations import act
from tunewell.integrations.act import Hands, Outcome
from tunewell.integrations.journal import Journal
from tunewell.monitors._scores import is_falling
from tunewell.policies import Facts, Judge, Proposal
from tunewell.records import Acted, Answered, Eval, Finding, Note, Record, Step
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Inbox

UNKNOWN_STEPS = 1_000
"""Updates that a run is taken to have where nobody said how many."""


class Judging:
    """The one door into the record of a watched run."""

    def __init__(self, journal: Journal, judge: Judge, hands: Hands, total_steps: int | None) -> None:
        self._journal, self._judge, self._hands = journal, judge, hands
        self._total_steps = total_steps
        self._inbox = None if journal.folder is None else Inbox(RunFolder(journal.folder).inbox)
        self._learning_rate = 0.0
        self._evaluates = False

    def record(self, record: Record) -> list[Finding]:
        """Log a record, what the monitors find in it, and what is done about that; return its own findings."""
        match record:
            case Step():
                self._learning_rate = record.learning_rate
            case Eval():
                self._evaluates = self._evaluates or record.split == "validation"
        findings = self._journal.write(record)
        self._follow(record, findings)
        return findings

    def read_inbox(self) -> None:
        """Do what people have asked for since the last call: `tunewell approve` writes it into the run's folder."""
        if self._inbox is None:
            return
        requests, unclear = self._inbox.read()
        step = self._hands.updates.step
        for line in unclear:
            self.record(Note(time=time.time(), step=step, text=line.why, topic="inbox"))
        for request in requests:
            if request.action is not None:
                self._carry_out(Proposal(request.action, f"{request.by} asked for it", "", request.by))
            elif request.answer is not None and request.answer.proposal in self._judge.open_proposals():
                answer = request.answer
                self.record(
                    Answered(
                        time=time.time(),
                        step=step,
                        id=answer.proposal,
                        approved=answer.approve,
                        by=request.by,
                    )
                )

    def _follow(self, record: Record, findings: Sequence[Finding]) -> None:
        for decision in self._judge.follow(record, findings, self._facts):
            if isinstance(decision, Proposal):
                self._carry_out(decision)
            else:
                self.record(msgspec.structs.replace(decision, time=time.time()))

    def keep_if_best(self, record: Eval) -> None:
        """Copy the training where no evaluation on validation rows was better; called before `record` is judged."""
        if record.split == "validation":
            metric = next(iter(record.metrics), "loss")
            value = record.loss if metric == "loss" else record.metrics[metric]
            score = -value if is_falling(metric) else value
            self._hands.snapshots.take_if_best(record.step, score, record.loss, self._journal.watch.pack())

    def end_with_best(self, *, is_over: bool) -> None:
        """Put the weights back that evaluated best, where a remedy asked for the run to end so.

        `is_over`: the loop has ended, whatever was said of how many updates it would make.
        """
        if not is_over and self._hands.updates.step < (self._total_steps or math.inf):
            return
        best = self._hands.snapshots.best
        outcome = act.end_with_best(self._hands)
        if best is not None and outcome is not None:
            action, reason = Rollback(before=best.step + 1), "a remedy asked for the best weights at the end"
            self._log(Proposal(action, reason, "", self._judge.name), outcome)

    def _carry_out(self, proposal: Proposal) -> None:
        if self._judge.is_for_show(proposal):
            self._log(proposal, None)
        else:
            self._log(proposal, act.apply(proposal.action, self._hands, proposal.reason))

    def _log(self, proposal: Proposal, outcome: Outcome | None) -> None:
        self.record(
            Acted(
                time=time.time(),
                step=self._hands.updates.step,
                action=proposal.action,
                by=proposal.by,
                reason=proposal.reason,
                outcome="dry_run" if outcome is None else outcome.outcome,
                detail="" if outcome is None else outcome.detail,
                code=proposal.finding_code,
                remedy=proposal.remedy,
                undo=None if outcome is None else outcome.undo,
            )
        )
        if outcome is not None and outcome.rewound is not None:
            self.record(outcome.rewound)

    def _facts(self) -> Facts:
        step = self._hands.updates.step
        return Facts(
            step=step,
            last_step=self._total_steps or max(UNKNOWN_STEPS, 2 * step),
            learning_rate=self._learning_rate,
            has_validation=self._evaluates,
            healthy_commits=self._hands.snapshots.steps(),
            actions=self._hands.can(),
            max_grad_norm=self._hands.adjustments.max_grad_norm,
            rollback_gives_back=False,
            balances=self._hands.rows.balances,
            keeps_best=self._hands.keeps_best,
            best_step=None if self._hands.snapshots.best is None else self._hands.snapshots.best.step,
        )

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
from tunewell.records import Acted, Eval, Finding, Note, Record, Step
from tunewell.runs import control, desk
from tunewell.runs.desk import ASKED_FOR, Desk, NothingToUndoError
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Request

LOOK_SECONDS = 0.1
"""Between two looks at the inbox during a pause."""
UNKNOWN_STEPS = 1_000
"""Updates that a run is taken to have where nobody said how many."""


class Judging:
    """The one door into the record of a watched run."""

    def __init__(self, journal: Journal, judge: Judge, hands: Hands, total_steps: int | None) -> None:
        self._journal, self._judge, self._hands = journal, judge, hands
        self._total_steps = total_steps
        self._desk = None if journal.folder is None else Desk(RunFolder(journal.folder).inbox)
        self._over = ""
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

    # What people ask.

    def is_called(self) -> bool:
        """Tell whether something was asked that is not taken up yet."""
        return self._desk is not None and self._desk.inbox.has_news()

    def read_inbox(self) -> None:
        """Do what people have asked for since the last call, and wait here while one of them wants a pause.

        The loop waits within the call that it made, so that Ctrl-C and other signals reach it as ever.
        """
        self._take_up()
        while self._hands.paused:
            self._journal.flush()
            while not self.is_called():
                time.sleep(LOOK_SECONDS)
            self._take_up()

    def refuse_rest(self) -> None:
        """Refuse what has come since: the loop is over."""
        self._over = "the run is ending"
        self._take_up()

    def _take_up(self) -> None:
        if self._desk is None:
            return
        requests, unclear = self._desk.read()
        for line in unclear:
            if line.id:
                self.record(desk.refused(line, line.why, self._hands.updates.step, time.time()))
            else:
                text = f"a line of the inbox is passed over: {line.why}"
                self.record(Note(time=time.time(), step=self._hands.updates.step, text=text, topic="inbox"))
        for request in requests:
            self._answer(self._desk, request)
            self._desk.answered(request)
        if requests or unclear:
            self._journal.flush()

    def _answer(self, known: Desk, request: Request) -> None:
        step = self._hands.updates.step
        if request.answer is not None:
            self.record(desk.reply(request, self._judge.open_proposals(), self._over, step, time.time()))
            return
        try:
            action = request.action or known.taking_back(str(request.undo), self._points())
        except NothingToUndoError as error:
            self.record(desk.refused(request, str(error), step, time.time()))
            return
        problem = control.check(action, self._what_is_known())
        if problem is not None:
            acted = desk.declined(request, action, problem, step, time.time())
            self.record(acted)
        else:
            self.record(desk.accepted(request, action, step, time.time()))
            proposal = Proposal(action, ASKED_FOR, "", request.by)
            reason = f"{request.by} asked for it"
            acted = self._log(proposal, act.apply(action, self._hands, reason), request.id)
        known.note(request, acted)

    def _what_is_known(self) -> control.Facts:
        hands = self._hands
        return control.Facts(
            step=hands.updates.step,
            learning_rate=self._learning_rate or None,
            points=self._points(),
            rows=hands.rows.known(),
            excluded=frozenset(hands.rows.excluded),
            can=hands.can(),
            paused=hands.paused,
            over=self._over,
        )

    def _points(self) -> tuple[control.Point, ...]:
        """Return the copies in memory that can be gone back to."""
        return tuple(
            control.Point(commit=one.number, step=one.step, name=f"copy {one.number}", healthy=True)
            for one in self._hands.snapshots.all()
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

    def _log(self, proposal: Proposal, outcome: Outcome | None, request: str = "") -> Acted:
        acted = Acted(
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
            request=request,
        )
        self.record(acted)
        if outcome is not None and outcome.rewound is not None:
            self.record(outcome.rewound)
        return acted

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

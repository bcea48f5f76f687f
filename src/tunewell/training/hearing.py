"""What people ask of a run while it trains, and the pauses that they ask for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tunewell.actions import Action, ExcludeRows, IncludeRows, Pause, Resume, Rollback, Stop
from tunewell.policies import Proposal
from tunewell.problems import RunError
from tunewell.records import Record
from tunewell.runs import control, desk
from tunewell.runs.control import Facts, Point
from tunewell.runs.desk import ASKED_FOR, Desk, NothingToUndoError
from tunewell.runs.inbox import Request, Unclear
from tunewell.training import act

if TYPE_CHECKING:
    from tunewell.training.session import Session

LOOK_SECONDS = 0.1
"""Between two looks at the inbox and at signals during a pause."""


class Hearing:
    """Takes up what people ask, at the boundary between two updates; each request is answered once, in the log.

    A request that is valid is logged as `Requested`, carried out at once and logged as `Acted`; any other is refused
    in words. The log is handed to the kernel after each, so that whoever waits for the answer sees it. A pause or a
    stop that comes during an evaluation cuts it short, to be made again when the run goes on; whatever else is asked
    waits for its end.

    **A pause** changes nothing of what a run comes to: its checkpoint is a passing one, like a signal's, and no
    number is drawn. It belongs to the process: where the inbox was read up to is part of that checkpoint, so a run that
    is killed while it stands paused, and resumed, does not read the `Pause` again and trains. (If it is killed before
    the checkpoint is durable, it goes on from the one before, comes past the `Pause` again and pauses there.)
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.desk = Desk(session.folder.inbox)
        self.hurries = False
        """A stop came while an evaluation was made: the run ends without it."""
        self.stood_paused = False
        """The checkpoint that the run goes on from was made in a pause: a `Resume` that comes again is no mistake."""
        self._is_saved = False
        self._over = ""

    def hear(self) -> Iterator[Record]:
        """Take up what was asked since the last call."""
        requests, unclear = self.desk.read()
        for line in unclear:
            yield from self._answer_nonsense(line)
        for request in requests:
            if request.answer is not None:
                yield from self._take_answer(request)
            else:
                yield from self._take_up(request)
            self.desk.answered(request)
        self.stood_paused = False
        if requests or unclear:
            self._show()

    def refuse_rest(self) -> Iterator[Record]:
        """Refuse what has come since and what comes from now on: the run is ending."""
        self._over = "the run is ending: its result is being written"
        yield from self.hear()

    def is_called(self) -> bool:
        """Tell whether something was asked that is not taken up yet."""
        return self.desk.inbox.has_news()

    def cuts(self) -> bool:
        """Tell whether somebody asks for what an evaluation under way must not hold up: a pause, or the end.

        A run that has not been evaluated since it began to train is evaluated before it stops, or its result would be
        the model that it began with.
        """
        asked = [request.action for request in self.desk.waiting()]
        self.hurries = self.session.state.progress.evaluated_at > 0 and any(
            isinstance(action, Stop) for action in asked
        )
        return self.hurries or any(isinstance(action, Pause) for action in asked)

    def wait(self) -> Iterator[Record]:
        """Save where the run stands, once a pause, and wait until somebody asks something or a signal comes."""
        session = self.session
        if not self._is_saved:
            self._is_saved = True
            yield from session.saving.commit("pause")
            yield from session.saving.settle()
        self._show()
        while not session.poll("a pause") and not self.desk.inbox.has_news():
            time.sleep(LOOK_SECONDS)

    def _take_up(self, request: Request) -> Iterator[Record]:
        session, step = self.session, self.session.state.progress.step
        try:
            points = () if request.undo is None else self._points()
            action = request.action or self.desk.taking_back(str(request.undo), points)
        except NothingToUndoError as error:
            yield from session.record(desk.refused(request, str(error), step, time.time()))
            return
        goes_on_already = isinstance(action, Resume) and self.stood_paused and not session.wishes.paused
        problem = None if goes_on_already else control.check(action, self._facts(action))
        if problem is not None:
            acted = desk.declined(request, action, problem, step, time.time())
            self.desk.note(request, acted)
            yield from session.record(acted)
            return
        yield from session.record(desk.accepted(request, action, step, time.time()))
        self._show()
        if isinstance(action, Rollback) and session.saving.saved_at != session.position():
            yield from session.saving.commit("action")  # what it gives up can be gone back to
        next_commit = session.saving.checkpointer.next_commit
        done = yield from session.act_on(Proposal(action, ASKED_FOR, "", request.by), request.id)
        self.desk.note(request, done, next_commit)
        if done.outcome == "applied":
            self._see_to(action, request)

    def _see_to(self, action: Action, request: Request) -> None:
        """Do what goes with what was asked for by a person, and not with the same of a policy."""
        session = self.session
        match action:
            case Pause():
                self._is_saved = False
            case Stop():
                session.wishes.stop_reason = f"{request.by} asked for it"
                # The last weights can be the result only if they are evaluated.
                is_evaluated = session.state.progress.evaluated_at == session.state.progress.step
                session.wishes.evaluate |= not is_evaluated and self._can_evaluate()

    def _take_answer(self, request: Request) -> Iterator[Record]:
        session, step = self.session, self.session.state.progress.step
        proposals = session.judge.open_proposals()
        yield from session.record(desk.reply(request, proposals, self._over, step, time.time()))

    def _answer_nonsense(self, line: Unclear) -> Iterator[Record]:
        if line.id:
            step = self.session.state.progress.step
            yield from self.session.record(desk.refused(line, line.why, step, time.time()))
        else:
            yield from self.session.note(f"a line of the inbox is passed over: {line.why}", "inbox")

    def _facts(self, action: Action) -> Facts:
        session = self.session
        about_rows = isinstance(action, ExcludeRows | IncludeRows)
        return Facts(
            step=session.state.progress.step,
            learning_rate=session.learning_rate or None,
            points=self._points() if isinstance(action, Rollback) else (),
            rows=session.work.encoded.rows.tolist() if about_rows else None,
            excluded=frozenset(session.state.adjustments.excluded_rows),
            can=act.POSSIBLE,
            paused=session.wishes.paused,
            has_validation=self._can_evaluate(),
            over=self._over,
        )

    def _points(self) -> tuple[Point, ...]:
        return control.points(self.session.saving.commits())

    def _can_evaluate(self) -> bool:
        return "validation" in self.session.prepared.splits

    def _show(self) -> None:
        """Let whoever reads the log see all that is in it."""
        with contextlib.suppress(
            RunError
        ):  # it stays in memory; the next commit waits until it can be written
            self.session.log.flush()

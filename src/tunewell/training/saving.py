"""How a run's state becomes durable and comes back: commits made while it trains, waited for, gone back to."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tunewell.inspections import Inspected
from tunewell.probes import memory
from tunewell.problems import RunError
from tunewell.records import Committed, Record
from tunewell.runs import checkpoints
from tunewell.runs.checkpoints import Commit
from tunewell.runs.disk import DiskFullError
from tunewell.training import act, checkpoint, space
from tunewell.training.checkpoint import Checkpointer, Snapshot, Writing
from tunewell.training.state import Tensors

if TYPE_CHECKING:
    from tunewell.training.session import Session

T = TypeVar("T")

LOOK_SECONDS = 0.2
"""Between two looks at signals while training waits for the disk."""


class Saving:
    """The commits of one session; an `act.CommitStore`.

    One commit is written at a time. On a full disk training goes on until the next commit is due, and waits there.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.checkpointer = Checkpointer(session.folder.checkpoints, session.recipe.save_total_limit)
        self.saved_at: tuple[int, int] | None = None
        self.rollbacks = 0
        self._writing: Writing | None = None
        self._durable: list[tuple[Committed, str]] = []
        """Commits not told of yet, each with the trouble that it had."""
        self._failed: list[tuple[int, Exception]] = []
        self.trouble = ""
        """Why the log can't be written at present, in words."""
        self._said: set[str] = set()
        self._needed = 0
        """Bytes that the commits to come will take, those that go meanwhile left out."""

    # Making commits.

    def commit(self, reason: str) -> Iterator[Record]:
        """Take a snapshot and begin to write it; weights that are not finite are never committed.

        A commit because of a ``signal`` or a ``pause`` is a passing one: it changes nothing of what the run would do
        without it.
        """
        session = self.session
        session.wishes.save &= reason in checkpoints.PASSING
        if not session.state.is_finite():
            yield from session.note("the weights are not finite: this state is not saved", "checkpoint")
            return
        began = time.perf_counter()
        yield from self.settle()
        try:
            # A commit is no better than the log that it belongs to.
            position = yield from self._patiently(session.log.sync)
        except RunError as error:
            yield from self._given_up(session.state.progress.step, error)
            return
        self._writing = self.checkpointer.write(self._snapshot(reason, position, began))
        if reason not in checkpoints.PASSING:
            self.saved_at, session.troubled = session.position(), False
        self.checkpointer.next_commit += 1

    def settle(self) -> Iterator[Record]:
        """Wait until nothing is being written, and tell of what became durable and of what the disk refused."""
        while self._writing is not None and not self._writing.wait(LOOK_SECONDS):
            yield from self._say(self._writing.trouble)
            if self.session.poll("save") and self._writing.trouble:
                self._writing.give_up()
        yield from self.tell()

    def tell(self) -> Iterator[Record]:
        """Tell of commits that became durable; does not wait."""
        yield from self._say(self.trouble)
        yield from self._say(self._writing.trouble if self._writing else "")
        self._collect()
        durable, self._durable = self._durable, []
        for committed, trouble in durable:
            yield from self.session.record(committed)
            yield from self.foresee(committed.bytes)
            if trouble:
                self._said.discard(trouble)
                yield from self.session.note(
                    f"the checkpoint of step {committed.step} is saved after all", "disk"
                )
        failed, self._failed = self._failed, []
        for step, error in failed:
            yield from self._given_up(step, error)

    def foresee(self, commit_bytes: int) -> Iterator[Record]:
        """Tell, once, when the disk has no room for the commits that the run will keep."""
        kept = [c for c in checkpoints.commits(self.session.folder.checkpoints) if not c.pinned]
        left = max(1, self.session.recipe.save_total_limit + 1 - len(kept))  # one more while it is written
        self._needed = space.needed(commit_bytes, left)
        yield from self._say(space.shortage(self.session.folder.path, self._needed), once="shortage")

    def with_disk(self, seen: Inspected) -> Inspected:
        """Return a look inside that also tells how much of the disk is free, and how much of it will be needed."""
        left = self.session.plan.total_steps - self.session.state.progress.step
        return msgspec.structs.replace(
            seen,
            disk_free=memory.disk_free(self.session.folder.path),
            disk_needed=self._needed + left * space.LOG_BYTES,
        )

    def close(self) -> None:
        """Wait for what is being written, unless the disk refuses it."""
        if self._writing is not None:
            self._writing.give_up()
            while not self._writing.wait(LOOK_SECONDS):
                pass

    def _collect(self) -> None:
        """Move what is no longer being written to the durable ones or the failed ones."""
        writing = self._writing
        if writing is None or not writing.wait(0):
            return
        self._writing = None
        if writing.committed is not None:
            self._durable.append((writing.committed, writing.trouble))
        if writing.error is not None:
            self._failed.append((writing.snapshot.step, writing.error))

    def _given_up(self, step: int, error: Exception) -> Iterator[Record]:
        """Tell that a commit was given up; raises `error` where that can't be lived with."""
        has_commits = bool(checkpoints.commits(self.session.folder.checkpoints))
        if not (isinstance(error, RunError) and checkpoint.refused_by_disk(error) and has_commits):
            raise error
        text = f"the checkpoint of step {step} is given up: {error.problems[0].message}; the next one is tried as usual"
        yield from self.session.note(text, "disk")

    def _patiently(self, write: Callable[[], T]) -> Generator[Record, None, T]:
        """Return what `write` returns, once there is room on the disk; raises its error after a signal."""
        while True:
            try:
                return write()
            except DiskFullError as error:
                yield from self._say(error.problems[0].message)
                until = time.monotonic() + checkpoint.RETRY_SECONDS
                while time.monotonic() < until:
                    if self.session.poll("save"):
                        raise
                    time.sleep(LOOK_SECONDS)

    def _say(self, trouble: str | None, once: str = "") -> Iterator[Record]:
        if trouble and (once or trouble) not in self._said:
            self._said.add(once or trouble)
            yield from self.session.note(trouble, "disk")

    def _snapshot(self, reason: str, position: tuple[int, str], began: float) -> Snapshot:
        session, number = self.session, self.checkpointer.next_commit
        progress = session.state.progress
        passing = reason in checkpoints.PASSING
        if progress.best_step == progress.step and progress.best_commit is None and not passing:
            progress.best_commit = number
        length, digest = position
        facts = {
            "reason": reason,
            "best_commit": progress.best_commit,
            "healthy": not session.troubled and session.watch.incident is None,
            "log_length": length,
            "log_digest": digest,
            **session.identity,
        }
        tensors, state = self._state(passing=passing)
        rows = session.history.pack() + session.reviewing.pack()
        waited = time.perf_counter() - began
        return Snapshot(number, progress.step, tensors, state, rows, facts, waited)

    def _state(self, *, passing: bool) -> tuple[Tensors, dict[str, Any]]:
        session = self.session
        tensors, facts = session.state.pack()
        more = {
            "watch": session.watch.pack(),
            "judge": session.judge.pack(),
            "wishes": msgspec.to_builtins(session.wishes),
            "requests": session.hearing.desk.pack(),
            "saved_at": self.saved_at if passing else session.position(),
            "troubled": session.troubled if passing else False,
        }
        return tensors, {**facts, **more}

    # Going back to them.

    def steps_of_healthy(self) -> tuple[int, ...]:
        """Return the steps to whose commits a rollback could go."""
        return tuple(c.step for c in self.commits() if c.healthy)

    def last_healthy(self, before: int) -> Commit | None:
        """Return the newest healthy commit of a step less than `before` that verifies, or None."""
        found = [c for c in self.commits() if c.healthy and c.step < before]
        return next((c for c in reversed(found) if not checkpoints.verify(c)), None)

    def numbered(self, number: int) -> Commit | None:
        """Return the healthy commit of this number if it verifies, or None."""
        found = next((c for c in self.commits() if c.commit == number and c.healthy), None)
        return None if found is None or checkpoints.verify(found) else found

    def commits(self) -> list[Commit]:
        """Return all commits, that which is being written too, oldest first."""
        # Waited for: what a policy can choose must not hang on how fast the disk is.
        self._wait()
        return checkpoints.commits(self.session.folder.checkpoints)

    def restore(self, commit: Commit) -> None:
        """Load weights, optimizer and monitors of `commit`; cursor, adjustments and row losses stay."""
        session = self.session
        tensors, facts, _ = checkpoint.load(commit)
        self.rollbacks += 1
        session.troubled = False
        stage = session.plan.stages[max(facts["progress"]["stage"], 0)]
        session.state.unpack(tensors, facts, stage, keep_adjustments=True)
        session.watch.unpack(facts["watch"])

    def unpack(self, tensors: Tensors, facts: dict[str, Any], rows: bytes) -> None:
        """Stand where the commit that holds these was made."""
        session = self.session
        stage = session.plan.stages[max(facts["progress"]["stage"], 0)]
        session.state.unpack(tensors, facts, stage, keep_adjustments=False)
        session.watch.unpack(facts["watch"])
        if facts["judge"] is not None:  # another policy begins with its own
            session.judge.unpack(facts["judge"])
        session.wishes = msgspec.convert(facts["wishes"], act.Wishes)
        asked = facts.get("requests") or {
            "position": facts["inbox"],
            "known": {},
        }  # as an earlier version wrote it
        session.hearing.desk.unpack(asked)
        # A pause is the process's that stood there: this one goes on.
        session.hearing.stood_paused, session.wishes.paused = session.wishes.paused, False
        session.troubled = facts["troubled"]
        end = len(rows) - len(session.reviewing.pack()) if rows else 0
        if rows:
            session.history.unpack(rows[:end])
        epoch = session.work.order.epoch_at(session.state.adjustments.cursor)
        session.reviewing.unpack(rows[end:], epoch)
        self.saved_at = tuple(facts["saved_at"]) if facts["saved_at"] else None

    def _wait(self) -> None:
        """Wait for the commit being written, unless the disk is in trouble."""
        writing = self._writing
        while writing is not None and not writing.trouble and not writing.wait(LOOK_SECONDS):
            pass
        self._collect()

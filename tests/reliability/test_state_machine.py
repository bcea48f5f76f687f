"""Anything that can happen to a run, in any order: what must be there is there, and its end is its twin's."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from benchmarks.reliability import tiny
from benchmarks.reliability.outcome import Outcome, outcome
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tunewell.actions import Rollback
from tunewell.policies import Decision, Facts, Proposal
from tunewell.records import Committed, Ended, Finding, Note, Record, Rewound, Step
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.runs.checkpoints import Commit
from tunewell.training import driver
from tunewell.training.session import Session

Sessions = list[Session]
RECIPE = {
    "num_epochs": 3, "save_steps": 2, "save_total_limit": 3, "dropout": 0.1, "ema_decay": 0.9,
    "metric_for_best_model": "loss", "monitors": {"stall": False}, "name": "run",
}  # fmt: skip
FINDING = Finding(
    step=0, monitor="test", code="planted", severity="warning", summary="planted", meaning="none"
)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """Return a list that gets the session of every run that begins or is resumed."""
    begun: Sessions = []
    honest = Session.run

    def run(session: Session) -> Iterator[Record]:
        begun.append(session)
        return honest(session)

    monkeypatch.setattr(Session, "run", run)
    return begun


class Run(RuleBasedStateMachine):
    """A run, what was done to it, and the checkpoints that must be there."""

    def __init__(self, folder: Path, model: Path, twin: Outcome, sessions: Sessions) -> None:
        super().__init__()
        folder.mkdir()
        self.folder, self.twin, self.sessions = folder, twin, sessions
        self.run = folder / "run"
        recipe = tiny.tiny_recipe(folder, model, {"test": 0.1}, **RECIPE)
        self.records: Iterator[Record] | None = driver.train(recipe)
        self.is_complete = self.was_rolled_back = False
        self.branches = 0
        self.durable = -1
        """Number of the newest checkpoint that the run said to be durable."""
        self.pinned: set[int] = set()

    # What can happen.

    @precondition(lambda self: self.records is not None)
    @rule(count=st.integers(1, 6))
    def train(self, count: int) -> None:
        self._go_on(lambda record: isinstance(record, Step), count)

    @precondition(lambda self: self.records is not None)
    @rule()
    def train_until_a_checkpoint(self) -> None:
        self._go_on(lambda record: isinstance(record, Committed), 1)

    @precondition(lambda self: self.is_training())
    @rule()
    def save_now(self) -> None:
        self.sessions[-1].wishes.save = True

    @precondition(lambda self: self.is_training() and self.durable >= 0)
    @rule()
    def roll_back(self) -> None:
        """Let the policy ask for a rollback at the next record, as a monitor's finding may make it."""
        session = self.sessions[-1]
        observe, follow = session.watch.observe, session.judge.follow

        def find(record: Record) -> list[Finding]:
            session.watch.observe = observe  # type: ignore[method-assign]
            return [*observe(record), FINDING]

        def propose(
            record: Record, findings: Sequence[Finding], facts: Callable[[], Facts]
        ) -> list[Decision]:
            session.judge.follow = follow  # type: ignore[method-assign]
            before = session.state.progress.step
            return [*follow(record, findings, facts), Proposal(Rollback(before), "planted", "", "test")]

        session.watch.observe, session.judge.follow = find, propose  # type: ignore[method-assign]
        self._go_on(lambda record: isinstance(record, Step), 1)
        self.was_rolled_back |= any(
            isinstance(record, Rewound) and record.reason == "rollback" for record in self._log()
        )

    @precondition(lambda self: self.records is not None)
    @rule()
    def crash(self) -> None:
        assert self.records is not None
        self.records.close()  # type: ignore[attr-defined]
        self.records = None

    @precondition(lambda self: self.is_training())
    @rule(name=st.sampled_from(["SIGTERM", "SIGINT"]))
    def interrupt(self, name: str) -> None:
        signal.raise_signal(getattr(signal, name))
        self._go_on(lambda record: False, 1)

    @precondition(lambda self: self.records is None and not self.is_complete)
    @rule()
    def resume(self) -> None:
        if (self.run / "recipe.yaml").exists():
            self.records = driver.resume(self.run)
            self._go_on(lambda record: not isinstance(record, Note), 1)

    @precondition(lambda self: self.records is None and not self.is_complete and len(self._present()) > 1)
    @rule(place=st.integers(0, 10**6), cut=st.booleans())
    def damage_the_newest(self, place: int, cut: bool) -> None:
        newest = self._present()[-1]
        path = newest.folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        if cut:
            path.write_bytes(content[: place % len(content)])
        else:
            content[place % len(content)] ^= 1 << (place % 8)
            path.write_bytes(content)
        self.pinned.discard(newest.commit)
        said = checkpoints.newest_valid(self.run / "checkpoints")[1]
        assert len(said) == 1
        self.durable = min(self.durable, self._present()[-1].commit)

    @precondition(lambda self: self._present())
    @rule(which=st.integers(0, 10))
    def pin(self, which: int) -> None:
        present = self._present()
        commit = present[which % len(present)]
        checkpoints.pin(commit)
        self.pinned.add(commit.commit)

    @precondition(lambda self: self.pinned)
    @rule(which=st.integers(0, 10))
    def unpin(self, which: int) -> None:
        pinned = [commit for commit in self._present() if commit.commit in self.pinned]
        commit = pinned[which % len(pinned)]
        checkpoints.unpin(commit)
        self.pinned.remove(commit.commit)

    @precondition(lambda self: self.records is None and self._branching_points())
    @rule(which=st.integers(0, 10))
    def branch(self, which: int) -> None:
        points = self._branching_points()
        commit = points[which % len(points)]
        self.branches += 1
        name = f"branch-{self.branches}"
        before = {path: path.read_bytes() for path in (self.run / "checkpoints").rglob("*") if path.is_file()}
        *_, end = driver.branch(f"run@{commit.folder.name}", name=name, root=self.folder)
        assert isinstance(end, Ended)
        assert end.status == "completed"
        after = {path: path.read_bytes() for path in (self.run / "checkpoints").rglob("*") if path.is_file()}
        assert after == before, "a branch changes nothing of its parent"
        if not self.was_rolled_back:
            ours = outcome(self.folder / name).digests
            assert (
                ours["last checkpoint: model.safetensors"]
                == self.twin.digests["last checkpoint: model.safetensors"]
            )

    # What must hold.

    @invariant()
    def the_log_reads(self) -> None:
        assert [
            record for record in self._log() if isinstance(record, Note) and record.topic == "damage"
        ] == []

    @invariant()
    def what_must_be_there_is_there(self) -> None:
        if self.is_training():
            list(
                self.sessions[-1].saving.steps_of_healthy()
            )  # waits until nothing is being written or deleted
        present = self._present()
        numbers = {commit.commit for commit in present}
        assert [problem for commit in present for problem in checkpoints.verify(commit)] == []
        assert self.pinned <= numbers
        assert max(numbers, default=-1) >= self.durable
        if present:
            best = present[-1].facts.get("best_commit")
            assert best is None or best in numbers or self._was_damaged(best)

    def teardown(self) -> None:
        """Bring the run to its end and compare it with its twin."""
        for _ in range(3):
            if self.records is None and not self.is_complete:
                self.resume()
            self._go_on(lambda record: False, 1)
        if (self.run / "recipe.yaml").exists():
            assert self.is_complete
            self.what_must_be_there_is_there()
            if not self.was_rolled_back:
                assert outcome(self.run).unlike(self.twin) == []

    # How it is done.

    def is_training(self) -> bool:
        """Tell whether a session stands between two records."""
        return self.records is not None and bool(self._log())

    def _go_on(self, until: Callable[[Record], bool], count: int) -> None:
        """Train until `count` more records are as `until` says, or to the end of this process's part."""
        if self.records is None:
            return
        for record in self.records:
            if isinstance(record, Committed):
                self.durable = record.commit
            if isinstance(record, Ended):
                self.is_complete = record.status == "completed"
            count -= until(record)
            if count == 0:
                return
        self.records = None

    def _log(self) -> list[Record]:
        path = self.run / "log.jsonl"
        return list(logs.read(path)) if path.is_file() else []

    def _present(self) -> list[Commit]:
        return checkpoints.commits(self.run / "checkpoints")

    def _branching_points(self) -> list[Commit]:
        end = self.twin.story[-1]
        assert isinstance(end, Ended)
        return [commit for commit in self._present() if commit.step < end.step]

    def _was_damaged(self, number: int) -> bool:
        return any((self.run / "checkpoints").glob(f"broken-{number:04d}-*"))


def check(tmp_path: Path, model: Path, sessions: Sessions, examples: int, steps: int) -> None:
    (tmp_path / "twin").mkdir()
    list(driver.train(tiny.tiny_recipe(tmp_path / "twin", model, {"test": 0.1}, **RECIPE)))
    twin, numbers = outcome(tmp_path / "twin" / "run"), itertools.count()

    class Numbered(Run):
        def __init__(self) -> None:
            super().__init__(tmp_path / str(next(numbers)), model, twin, sessions)

    run_state_machine_as_test(
        Numbered,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # a smaller example of a failure is not worth an hour
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_few_histories(tmp_path: Path, tiny_model: Path, sessions: Sessions) -> None:
    check(tmp_path, tiny_model, sessions, examples=2, steps=6)


@pytest.mark.slow
def test_many_histories(tmp_path: Path, tiny_model: Path, sessions: Sessions) -> None:
    check(tmp_path, tiny_model, sessions, examples=15, steps=15)

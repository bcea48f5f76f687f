"""Checkpoints: a snapshot taken between two steps, written aside while training goes on."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from tunewell.problems import Problem, RunError
from tunewell.records import Committed
from tunewell.runs import checkpoints
from tunewell.runs.checkpoints import Commit
from tunewell.runs.disk import DiskFullError, in_words
from tunewell.training.state import Tensors

FORMAT = 3
"""Of what a commit holds; raised when an older tunewell could not go on from it, or this one from an older one's."""
STATE = "state.json"
ROWS = "rows.bin"

RETRY_SECONDS = 10.0
"""Between two attempts to write a checkpoint that the disk refused."""
ATTEMPTS = 3
"""Of a checkpoint that the disk refuses for another reason than that it is full: that one is waited for."""


@dataclass(frozen=True)
class Snapshot:
    """A run's state at one moment, in memory: all that a commit is made of.

    `facts` go into the manifest, `state` and `rows` into files of their own; `waited` are the seconds for which
    training stood still for it.
    """

    commit: int
    step: int
    tensors: Tensors
    state: Mapping[str, Any]
    rows: bytes
    facts: Mapping[str, Any]
    waited: float = 0.0


@dataclass
class Writing:
    """A snapshot on its way to the disk; `committed` or `error` says what became of it."""

    snapshot: Snapshot
    trouble: str = ""
    """Why it has to be tried again, in words."""
    committed: Committed | None = None
    error: Exception | None = None
    _done: threading.Event = field(default_factory=threading.Event)
    _given_up: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """Wait until it is over, `seconds` at most; tell whether it is."""
        return self._done.wait(seconds)

    def give_up(self) -> None:
        """Try no further: the attempt under way is the last."""
        self._given_up.set()


class Checkpointer:
    """Writes snapshots in a thread, one at a time."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        existing = [c.commit for c in checkpoints.commits(root)]
        self.next_commit = max(existing, default=-1) + 1
        self._thread: threading.Thread | None = None

    def write(self, snapshot: Snapshot) -> Writing:
        """Begin to write `snapshot`; the one before it must be over.

        On a full disk it is tried again until there is room, unless it would be the run's first commit: then nothing
        is lost by saying so at once.
        """
        writing = Writing(snapshot)
        # A daemon: whoever aborts the process does not wait for it, and a commit is whole or not there.
        self._thread = threading.Thread(
            target=self._write_until_durable, args=(writing,), name="checkpoint", daemon=True
        )
        self._thread.start()
        return writing

    def join(self) -> None:
        """Wait until the last snapshot given to `write` is over, if there was one."""
        while self._thread is not None and self._thread.ident is not None and self._thread.is_alive():
            self._thread.join(1.0)

    def _write_until_durable(self, writing: Writing) -> None:
        attempt = 0
        try:
            with in_words("look for checkpoints", self.root):
                is_first = not checkpoints.commits(self.root)
            while writing.committed is None:
                attempt += 1
                try:
                    with in_words("save a checkpoint", self.root):
                        writing.committed = self._write(writing.snapshot)
                except RunError as error:
                    passes = isinstance(error, DiskFullError) or (
                        attempt < ATTEMPTS and refused_by_disk(error)
                    )
                    if is_first or not passes:
                        raise
                    writing.trouble = error.problems[0].message
                    if writing._given_up.wait(RETRY_SECONDS):
                        raise
                    with contextlib.suppress(RunError):
                        checkpoints.clear_temporary(self.root)
            try:
                with in_words("delete old checkpoints", self.root):
                    self.prune(writing.snapshot.commit)
            except RunError as error:  # the next one tries it again
                writing.trouble = error.problems[0].message
        except Exception as error:  # a thread's error would be lost: whoever waits for the commit looks at it
            writing.error = error
        finally:
            writing._done.set()

    def _write(self, snapshot: Snapshot) -> Committed:
        def write_files(folder: Path) -> None:
            for name, part in snapshot.tensors.items():
                # Written by Python: a full disk is then an OSError with its number, which `write_commit` explains.
                _file(folder, name).write_bytes(save({k: t.cpu().contiguous() for k, t in part.items()}))
            (folder / STATE).write_text(json.dumps(snapshot.state), encoding="utf-8")
            (folder / ROWS).write_bytes(snapshot.rows)

        written = checkpoints.write_commit(
            self.root, snapshot.commit, snapshot.step, write_files, snapshot.facts
        )
        return told(written, snapshot.waited)

    def prune(self, newest: int) -> None:
        """Delete the commits that are no longer kept, the one numbered `newest` being the last.

        Kept are the first (where all came from), the newest, the newest healthy one, and up to the limit those
        before them, each with the best one of its time: whoever goes back to a commit needs that too.
        """
        lasting = [commit for commit in checkpoints.commits(self.root) if not commit.passing]
        healthy = [commit for commit in lasting if commit.healthy]
        kept = {0, newest}.union(*map(_with_best, [*lasting[-1:], *healthy[-1:]]))
        for commit in reversed(lasting):
            more = kept | _with_best(commit)
            if len(more) <= self.limit:
                kept = more
        checkpoints.prune(self.root, kept, 0)


def _with_best(commit: Commit) -> set[int]:
    best = commit.facts.get("best_commit")
    return {commit.commit} if best is None else {commit.commit, int(best)}


def refused_by_disk(error: Exception) -> bool:
    """Tell whether the disk could not write; a run's folder that is gone is another matter."""
    cause = error.__cause__
    return (
        isinstance(error, RunError)
        and isinstance(cause, OSError)
        and not isinstance(cause, FileNotFoundError)
    )


def told(commit: Commit, seconds: float) -> Committed:
    """Return the record of `commit`, for which training stood still for `seconds`."""
    return Committed(
        time=time.time(),
        commit=commit.commit,
        step=commit.step,
        folder=commit.folder.name,
        bytes=commit.bytes,
        seconds=seconds,
        reason=str(commit.facts["reason"]),
    )


def load(commit: Commit) -> tuple[Tensors, dict[str, Any], bytes]:
    """Return the tensors, the facts and the packed row history of a commit; `RunError` where it is another tunewell's."""
    if (made := commit.facts.get("format")) != FORMAT:
        raise RunError(
            Problem(
                "run",
                f"the checkpoint is in format {made or 1}, this tunewell reads {FORMAT}",
                str(commit.folder),
                fix="go on with the tunewell that made it; its version is in environment.json",
            )
        )
    tensors: Tensors = {
        Path(name).stem: load_file(commit.folder / name)
        for name in commit.files
        if name.endswith(".safetensors")
    }
    state: dict[str, Any] = json.loads((commit.folder / STATE).read_text(encoding="utf-8"))
    return tensors, state, (commit.folder / ROWS).read_bytes()


def load_model_weights(commit: Commit) -> dict[str, Tensor]:
    """Return the weights of a commit as they are evaluated and exported: averaged where there is an average."""
    weights: dict[str, Tensor] = load_file(_file(commit.folder, "model"))
    average = _file(commit.folder, "average")
    return {**weights, **load_file(average)} if average.exists() else weights


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"

"""Checkpoints: a snapshot taken between two steps, written aside while training goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from tunewell.records import Committed
from tunewell.runs import checkpoints
from tunewell.runs.checkpoints import Commit
from tunewell.training.state import Tensors

STATE = "state.json"
ROWS = "rows.bin"


class Checkpointer:
    """Writes commits in a thread, one at a time: a second save waits for the first."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        existing = [c.commit for c in checkpoints.commits(root)]
        self.next_commit = max(existing, default=-1) + 1
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[Committed] | None = None

    def save(
        self,
        step: int,
        snapshot: Callable[[], tuple[Tensors, dict[str, Any]]],
        rows: bytes,
        facts: Mapping[str, Any],
        keep: Collection[int],
    ) -> list[Committed]:
        """Take a snapshot and begin to write it; return the commits that became durable since the last call.

        `facts` go into the manifest; `keep` are commits that pruning must leave. Raises what writing the
        commit before raised.
        """
        began = time.perf_counter()
        finished = self.finished(wait=True)
        tensors, state = snapshot()
        waited = time.perf_counter() - began
        commit, self.next_commit = self.next_commit, self.next_commit + 1
        self._writing = self._thread.submit(
            self._write, commit, step, tensors, state, rows, dict(facts), {*keep}, waited
        )
        return finished

    def finished(self, *, wait: bool = False) -> list[Committed]:
        """Return the commit that became durable since the last call, if any; with `wait`, wait for it."""
        if self._writing is None or not (wait or self._writing.done()):
            return []
        writing, self._writing = self._writing, None
        return [writing.result()]

    def close(self) -> None:
        """Wait for the writing thread to end."""
        self._thread.shutdown(wait=True)

    def _write(
        self,
        commit: int,
        step: int,
        tensors: Tensors,
        state: dict[str, Any],
        rows: bytes,
        facts: dict[str, Any],
        keep: set[int],
        waited: float,
    ) -> Committed:
        def write_files(folder: Path) -> None:
            for name, part in tensors.items():
                # Written by Python: a full disk is then an OSError with its number, which `write_commit` explains.
                _file(folder, name).write_bytes(save({k: t.cpu().contiguous() for k, t in part.items()}))
            (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
            (folder / ROWS).write_bytes(rows)

        written = checkpoints.write_commit(self.root, commit, step, write_files, facts)
        # A rollback to any of them needs the best one of its time.
        present = checkpoints.commits(self.root)
        bests = {int(best) for c in present if (best := c.facts.get("best_commit")) is not None}
        checkpoints.prune(self.root, {*keep, *bests, commit}, self.limit)
        return Committed(
            time=time.time(),
            commit=commit,
            step=step,
            folder=written.folder.name,
            bytes=written.bytes,
            seconds=waited,
            reason=str(facts["reason"]),
        )


def load(commit: Commit) -> tuple[Tensors, dict[str, Any], bytes]:
    """Return the tensors, the facts and the packed row history of a commit."""
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

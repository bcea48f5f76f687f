"""Children that train, forked from a process with all libraries loaded, so that one begins in a fraction of a second.

A child says in a page of memory that it shares with its parent what it is doing, so that it can be killed there.
"""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_LOADED = (
    "transformers",
    "transformers.models.bert.modeling_bert",
    "tunewell.cli",
    "tunewell.data.formats.jsonl",
    "tunewell.policies.cautious",
    "tunewell.tasks.text_classification",
    "tunewell.training.driver",
    "benchmarks.reliability.processes",
)

PLACES = {
    "reading data": ("tunewell.training.setup:prepare",),
    "encoding": ("tunewell.training.setup:encode_split",),
    "loading the model": ("tunewell.training.setup:build_weights",),
    "resuming": ("tunewell.runs.checkpoints:newest_valid", "tunewell.training.saving:Saving.unpack"),
    "micro-batch": ("tunewell.training.loop:forward_backward",),
    "changing stages": ("tunewell.training.state:TrainState.enter",),
    "evaluation": ("tunewell.training.validation:evaluate",),
    "rollback": ("tunewell.training.saving:Saving.restore",),
    "snapshot": ("tunewell.training.state:TrainState.pack",),
    "saving": ("tunewell.runs.checkpoints:write_commit",),
    "pruning": ("tunewell.runs.checkpoints:prune",),
    "export": ("tunewell.training.result:export",),
}
"""What a child may be doing, and the functions in which it does that."""

TOLD = 9
"""Exit code of a child whose run ended with an error in words; 1: with a traceback."""
BETWEEN = "between them"
NAMES = [BETWEEN, *PLACES]


@dataclass(frozen=True)
class Job:
    """What a child does: train the recipe in a file, or resume a run folder, to the end."""

    verb: str
    recipe: Path
    run: Path
    errors: Path
    """File that gets what the child has to say."""
    rate_fault: tuple[int, float] | None = None
    """From this step on the learning rate is this many times what the schedule says."""


class Page:
    """A page of memory that processes share through a file: bytes, and a number of eight of them."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        if new:
            path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("rb+") as file:
            self._bytes = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def __getitem__(self, place: int) -> int:
        """Return the byte at `place`."""
        return self._bytes[place]

    def __setitem__(self, place: int, byte: int) -> None:
        """Set the byte at `place`."""
        self._bytes[place] = byte

    def number(self, place: int) -> int:
        """Return the number that begins at `place`."""
        return int.from_bytes(self._bytes[place : place + 8], "little")

    def set_number(self, place: int, number: int) -> None:
        """Set the number that begins at `place`."""
        self._bytes[place : place + 8] = number.to_bytes(8, "little")


class Child:
    """A process that was started, and where it stands."""

    def __init__(self, target: Callable[..., None], *args: Any, page: Path) -> None:
        self.page = Page(page, new=True)
        self.began = time.monotonic()
        self.process: ForkServerProcess = _server().Process(target=target, args=(*args, page))
        self.process.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self.process.pid is not None
        return self.process.pid

    def places(self) -> tuple[str, str]:
        """Return what its main thread does and what the thread that writes checkpoints does."""
        return NAMES[self.page[0]], NAMES[self.page[1]]

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait until it ends, `until()` is true or `seconds` are over; tell whether it still lives."""
        over = time.monotonic() + seconds
        while self.process.is_alive() and time.monotonic() < over and not until():
            self.process.join(0.0005)
        return self.process.is_alive()

    def kill(self) -> bool:
        """Kill it with SIGKILL and wait for it; tell whether it had not ended by itself."""
        self.process.kill()
        self.process.join()
        # 255: dead as well, but the fork server had lost sight of how it ended.
        return self.process.exitcode in (-9, 255)

    def is_at(self, place: str) -> bool:
        """Tell whether one of its threads is at `place` now."""
        return place in self.places()

    @property
    def exit_code(self) -> int | None:
        """Its exit code; negative: the signal that killed it; None: it lives."""
        return self.process.exitcode


def train_or_resume(job: Job, page: Path) -> None:
    """Do `job`; what the target of a `Child` has to be."""
    quieten(job.errors)
    _show_places(page)
    if job.rate_fault is not None:
        plant_rate(*job.rate_fault)
    finish(records_of(job))


def finish(records: Iterator[Any]) -> None:
    """Train to the end; an error that the run explains in words ends the process with the code `TOLD`."""
    from tunewell.problems import InputError

    try:
        for _ in records:
            pass
    except InputError as error:
        print(error, flush=True)
        sys.exit(TOLD)


def quieten(said: Path) -> None:
    """Let all that this process prints go to the end of the file `said`."""
    with said.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def records_of(job: Job) -> Iterator[Any]:
    """Return the records of the run that `job` names, as they come."""
    from tunewell.document import load_recipe
    from tunewell.training import driver

    if job.verb == "resume":
        return driver.resume(job.run)
    return driver.train(load_recipe(job.recipe), job.recipe.parent)


def plant_rate(since: int, times: float) -> None:
    """Multiply the schedule's factor by `times` from step `since` on: a fault that a policy must notice."""
    from tunewell import schedules

    honest = schedules.factor

    def factor(name: str, step: int, total: int, warmup: int) -> float:
        return honest(name, step, total, warmup) * (times if step >= since else 1.0)

    schedules.factor = factor


def _server() -> Any:
    """Return the context that starts children, from a server that has the libraries loaded but ran nothing."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_LOADED))
    return context


def _show_places(page: Path) -> None:
    """Let the functions of `PLACES` mark the page while they run, one byte a thread."""
    marks = Page(page)
    for number, functions in enumerate(PLACES.values(), start=1):
        for function in functions:
            wrap(function, partial(_marked, marks, number))


@contextlib.contextmanager
def _marked(marks: Page, number: int) -> Iterator[None]:
    thread = 0 if threading.current_thread() is threading.main_thread() else 1
    before = marks[thread]
    marks[thread] = number
    try:
        yield
    finally:
        marks[thread] = before


def wrap(function: str, around: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    """Let the function named ``module:name`` or ``module:class.name`` run within what `around` returns."""
    module, _, path = function.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    honest = getattr(owner, name)

    @wraps(honest)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with around():
            return honest(*args, **kwargs)

    setattr(owner, name, wrapped)

"""A save and a run's end cut short at every system call that touches files: killed there, or the call fails.

Run: python -m benchmarks.reliability.crash_points [--every N] [--workers N] [--out crash_points.json]

A child trains to a chosen moment and waits; strace attaches to one of its threads and makes the k-th call of one
name end the process, or fail with EIO or ENOSPC. That is done for every k of every name that the thread makes there.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.reliability import tiny
from benchmarks.reliability.machine import facts_of_the_machine
from benchmarks.reliability.outcome import Outcome, lost, outcome
from benchmarks.reliability.processes import (
    TOLD,
    Child,
    Job,
    Page,
    finish,
    quieten,
    records_of,
    train_or_resume,
    wrap,
)
from tunewell.document import dump_recipe
from tunewell.problems import RunError
from tunewell.records import Committed, Ended, Note, Record
from tunewell.runs import checkpoints
from tunewell.runs import log as logs

FAULTS = {"killed": "signal=SIGKILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
TRACED = "%file,%desc"
"""Every call with a path or a file descriptor."""
LEFT_OUT = {"mmap"}
"""Memory is asked for by it too."""
CALL = re.compile(r"(\w+)\(")
PATIENCE = 60.0

READY, GO, THREAD = 2, 3, 8
"""Places in the shared page: the child waits; it may go on; the thread's number (8 bytes)."""
OVER = "/the-window-is-over"
"""A path that is looked for when what is to be cut short is over: a mark among the traced calls."""
PR_SET_PTRACER, ANYBODY = 0x59616D61, ctypes.c_ulong(-1)


@dataclass(frozen=True)
class Place:
    """The `nth` call of `function` in a process."""

    function: str
    nth: int = 1


@dataclass(frozen=True)
class Part:
    """What is cut short: in a run that was killed at `cut` and is resumed, all from `begins` on.

    It is over where its thread ends, or where the next checkpoint is told of.
    """

    cut: Place
    begins: Place


_SYNC, _WRITE, _END = (
    "tunewell.runs.log:LogWriter.sync",
    "tunewell.runs.checkpoints:write_commit",
    "tunewell.training.result:write",
)

PARTS = {
    "training thread, around a save": Part(Place(_SYNC, 5), Place(_SYNC)),
    "thread that writes the checkpoint": Part(Place(_SYNC, 5), Place(_WRITE)),
    "the resume of a run killed in a save": Part(
        Place("tunewell.runs.checkpoints:_seal", 5), Place("tunewell.runs.checkpoints:clear_temporary")
    ),
    "the run's end": Part(Place(_END), Place(_END)),
}

CHANGES = {"num_epochs": 2, "save_steps": 2, "save_total_limit": 2, "eval_batch_size": 8, "dropout": 0.1}


@dataclass(frozen=True)
class Point:
    """The `number`-th call named `call` in a part, and the fault that meets it."""

    part: str
    call: str
    number: int
    fault: str


@dataclass
class Tally:
    """What became of the points of one call: by fault how many, and what went wrong."""

    points: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    """Points that the run did not come to: a log's buffer may be written a call sooner or later."""
    resumed: int = 0
    """Runs that did not come to their end by themselves."""
    tracebacks: list[str] = field(default_factory=list)
    """Errors that were not explained in words."""
    lost: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)


class Arena:
    """Where one worker lets runs meet faults."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        folder.mkdir()
        recipe = tiny.tiny_recipe(folder, model, {"test": 0.1}, **CHANGES)
        self.recipe, self.said = folder / "recipe.yaml", folder / "said.txt"
        self.recipe.write_text(dump_recipe(recipe), encoding="utf-8")

    def twin(self) -> Outcome:
        """Return what the run comes to when nothing happens to it."""
        assert self._go_on("train") == 0, self.said.read_text()
        found = outcome(self.run)
        self._clear()
        return found

    def calls(self, part: str) -> Counter[str]:
        """Return how often each system call is made in `part`."""
        child, tracer = self._traced(PARTS[part], [])
        child.wait(PATIENCE)
        tracer.communicate(timeout=PATIENCE)
        assert child.exit_code == 0, self.said.read_text()
        lines = (self.folder / "trace").read_text().partition(OVER)[0].splitlines()
        self._clear()
        return Counter(m[1] for line in lines if (m := CALL.match(line)) and m[1] not in LEFT_OUT)

    def meet(self, point: Point, twin: Outcome, tally: Tally) -> None:
        """Let a run meet the fault at `point`, look at what is left, and bring it to its end."""
        child, tracer = self._traced(
            PARTS[point.part], ["-e", f"inject={point.call}:{FAULTS[point.fault]}:when={point.number}"]
        )
        durable = {commit.folder.name for commit in checkpoints.commits(self.run / "checkpoints")}
        child.wait(PATIENCE)
        alive = child.process.is_alive()
        child.kill()
        tracer.kill()
        tracer.communicate()
        name = f"{point.part}: {point.fault} at {point.call} {point.number}"
        hit = "(INJECTED)" in (self.folder / "trace").read_text() or child.exit_code == -9
        tally.points[point.fault] += 1
        tally.missed += not hit
        tally.lost += [f"{name}: it hangs"] * alive + [f"{name}: {each}" for each in self._lost(durable)]
        code = child.exit_code
        if code not in {0, -9, 255, TOLD}:  # 255: killed, but the fork server missed it
            tally.tracebacks.append(f"{name}: {self.said.read_text()[-1500:]}")
        if code != 0:
            complete = self._is_complete()
            tally.resumed += not complete
            code = 0 if complete else self._go_on("resume")
        if code != 0:
            tally.lost.append(f"{name}: going on ended with {code}: {self.said.read_text()[-1500:]}")
        else:
            tally.unequal += [f"{name}: {each}" for each in outcome(self.run).unlike(twin)]
        self._clear()

    def _traced(self, part: Part, inject: list[str]) -> tuple[Child, subprocess.Popen[str]]:
        """Resume a cut run, attach strace to it at the beginning of `part` and let it go on."""
        shutil.copytree(self._cut(part.cut), self.run)
        child = self._stopped("resume", part.begins)
        thread = child.page.number(THREAD)
        tracer = subprocess.Popen(
            ["strace", "-e", f"trace={TRACED}", *inject, "-o", str(self.folder / "trace"), "-p", str(thread)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        assert "attached" in told, told
        child.page[GO] = 1
        return child, tracer

    def _cut(self, place: Place) -> Path:
        """Return the folder of a run that was killed at `place`; made once."""
        kept = self.folder / f"cut-{place.function}-{place.nth}".replace(":", "-")
        if not kept.exists():
            self._stopped("train", place).kill()
            self.run.rename(kept)
        return kept

    def _stopped(self, verb: str, place: Place) -> Child:
        """Return a child that waits at `place`."""
        job = Job(verb, self.recipe, self.run, self.said)
        child = Child(_go_with_a_stop, job, place, page=self.folder / "page")
        waits = child.wait(PATIENCE, until=lambda: child.page[READY] == 1)
        assert waits, f"it never came to {place}: {self.said.read_text()}"
        return child

    def _lost(self, durable: set[str]) -> list[str]:
        """Return what a fault destroyed: a checkpoint, or the log."""
        found = lost(self.run, durable)
        try:
            records = list(logs.read(self.run / "log.jsonl"))
        except RunError as error:
            return [*found, f"the log can't be read: {error}"]
        return [*found, *(each.text for each in records if isinstance(each, Note) and each.topic == "damage")]

    def _is_complete(self) -> bool:
        """Tell whether only the seal could be missing."""
        ends = (record for record in logs.read(self.run / "log.jsonl") if isinstance(record, Ended))
        return any(end.status == "completed" for end in ends)

    def _go_on(self, verb: str) -> int | None:
        job = Job(verb, self.recipe, self.run, self.said)
        child = Child(train_or_resume, job, page=self.folder / "page")
        child.wait(PATIENCE)
        child.kill()
        return child.exit_code

    def _clear(self) -> None:
        shutil.rmtree(self.run)
        self.said.unlink(missing_ok=True)


def _go_with_a_stop(job: Job, place: Place, page: Path) -> None:
    """Train or resume, and wait at `place` to be traced or killed."""
    from tunewell.training import checkpoint

    quieten(job.errors)
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)  # Linux may let only a parent trace
    logs._FLUSH_SECONDS = float("inf")  # or the clock would decide which call comes when
    checkpoint.RETRY_SECONDS = 0.01
    stop = _Stop(place.nth, page)
    wrap(place.function, stop.around)
    finish(_marked(records_of(job), stop))


def _marked(records: Iterator[Record], stop: _Stop) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Committed) and stop.passed:
            os.path.exists(OVER)
        yield record


class _Stop:
    """Waits at the nth call of a function until the parent has attached strace to the thread that calls it."""

    def __init__(self, nth: int, page: Path) -> None:
        self.calls, self.nth, self.page, self.passed = 0, nth, page, False

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Count one call; wait at the nth."""
        self.calls += 1
        if self.calls == self.nth:
            page = Page(self.page)
            page.set_number(THREAD, threading.get_native_id())
            page[READY] = 1
            given_up = time.monotonic() + PATIENCE
            while not page[GO]:
                assert time.monotonic() < given_up, "nobody came to trace"
                time.sleep(0.001)
            self.passed = True
        yield


def why_not() -> str:
    """Return why strace can't be used here; empty: it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tried = subprocess.Popen(
        ["strace", "-o", os.devnull, "-p", str(sleeper.pid)], stderr=subprocess.PIPE, text=True
    )
    assert tried.stderr is not None
    told = tried.stderr.readline()
    sleeper.communicate(b"\n")
    tried.communicate()
    return "" if "attached" in told else f"strace may not trace here: {told.strip()}"


def measure(folder: Path, every: int = 1, workers: int = 1) -> dict[tuple[str, str], Tally]:
    """Return, by part and system call, what became of every `every`-th point."""
    model = tiny.make_tiny_bert(folder / "model")
    arenas = [Arena(folder / str(number), model) for number in range(workers)]
    twin = arenas[0].twin()
    counts = {part: arenas[0].calls(part) for part in PARTS}
    points = [
        Point(part, call, number, fault)
        for part, calls in counts.items()
        for call, count in sorted(calls.items())
        for number in range(1, count + 1)
        for fault in FAULTS
    ][::every]
    tallies: dict[tuple[str, str], Tally] = {(point.part, point.call): Tally() for point in points}

    def work(number: int) -> None:
        for point in points[number::workers]:
            arenas[number].meet(point, twin, tallies[point.part, point.call])

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return tallies


def table(tallies: dict[tuple[str, str], Tally]) -> str:
    """Return the tallies as a Markdown table."""
    lines = [
        f"| part | system call | {' | '.join(FAULTS)} | resumed | missed | tracebacks | lost | unequal |",
        "|---|---|" + "---|" * (len(FAULTS) + 5),
    ]
    for (part, call), tally in tallies.items():
        points = " | ".join(str(tally.points[fault]) for fault in FAULTS)
        wrong = " | ".join(str(len(texts)) for texts in (tally.tracebacks, tally.lost, tally.unequal))
        ends = f"{tally.resumed} | {tally.missed} | {wrong}"
        lines.append(f"| {part} | `{call}` | {points} | {ends} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNEWELL_CACHE"] = f"{folder}/cache"
        began = time.monotonic()
        tallies = measure(Path(folder), asked.every, asked.workers)
        seconds = time.monotonic() - began
    print(table(tallies))
    points = sum(sum(tally.points.values()) for tally in tallies.values())
    print(f"\n{points} points in {seconds:.0f} s; {facts_of_the_machine()}")
    for tally in tallies.values():
        for text in [*tally.lost, *tally.unequal, *tally.tracebacks]:
            print(text)
    if asked.out is not None:
        found = {f"{part}: {call}": vars(tally) for (part, call), tally in tallies.items()}
        asked.out.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

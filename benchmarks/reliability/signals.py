"""SIGTERM and Ctrl-C in every phase of a run: how it ends, how soon, and that a resume makes up for it.

Run: python -m benchmarks.reliability.signals
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.reliability import tiny
from benchmarks.reliability.machine import facts_of_the_machine
from benchmarks.reliability.outcome import Outcome, outcome
from benchmarks.reliability.processes import Child, Page, quieten, wrap
from tunewell.document import dump_recipe
from tunewell.records import Ended, Step
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.runs.folder import RunFolder
from tunewell.runs.timeline import timeline

BOUND = 10.0
"""Seconds from the signal to the end that are allowed for so small a run, on a busy machine."""
LONGEST_RUN = 120.0
APART = 0.2
"""Seconds between two Ctrl-C: so that they are two."""

SIGNALS = {"SIGTERM": ("SIGTERM",), "Ctrl-C": ("SIGINT",), "Ctrl-C twice": ("SIGINT", "SIGINT")}
EXIT_CODES = {"SIGTERM": 143, "Ctrl-C": 130, "Ctrl-C twice": 130}


@dataclass(frozen=True)
class Moment:
    """When a signal comes: as `function` is called for the `nth` time, in a `train` or the `resume` of a cut run."""

    function: str
    nth: int = 1
    verb: str = "train"


MOMENTS = {
    "reading data": Moment("tunewell.training.setup:prepare"),
    "encoding": Moment("tunewell.training.setup:encode_split", 2),
    "loading the model": Moment("tunewell.training.setup:build_weights"),
    "fitting the head": Moment("tunewell.tasks.text_classification:TextClassification.collate", 2),
    "making the run's folder": Moment("tunewell.runs.folder:write_durably"),
    "writing the run's recipe": Moment("tunewell.runs.folder:write_durably", 2),
    "before the first record": Moment("tunewell.training.opening:parameter_counts"),
    "the evaluation before the first update": Moment("tunewell.training.validation:evaluate", 2),
    "the first save": Moment("tunewell.runs.checkpoints:write_commit"),
    "training": Moment("tunewell.training.state:TrainState.update_average", 9),
    "between micro-batches of one update": Moment("tunewell.training.loop:forward_backward", 4 * 9 + 2),
    "an evaluation": Moment("tunewell.training.validation:evaluate", 4),
    "a snapshot": Moment("tunewell.training.state:TrainState.pack", 4),
    "a save": Moment("tunewell.runs.checkpoints:write_commit", 4),
    "deleting an old checkpoint": Moment("tunewell.runs.checkpoints:prune", 4),
    "the last save": Moment("tunewell.training.session:Session._finish"),
    "the final test": Moment("tunewell.training.result:_restore_best"),
    "the export": Moment("tunewell.training.result:export"),
    "reading data at a resume": Moment("tunewell.training.setup:prepare", verb="resume"),
    "looking for a checkpoint at a resume": Moment("tunewell.runs.checkpoints:newest_valid", verb="resume"),
    "loading a checkpoint at a resume": Moment("tunewell.training.saving:Saving.unpack", verb="resume"),
}

CHANGES: dict[str, Any] = {
    "num_epochs": 3,
    "batch_size": 4,
    "gradient_accumulation_steps": 4,
    "save_steps": 4,
    "eval_batch_size": 8,
    "dropout": 0.1,
    "head_init": "fitted",
}


@dataclass(frozen=True)
class Result:
    """What a signal at one moment led to."""

    moment: str
    signal: str
    exit_code: int | None
    seconds: float
    """From the signal to the end of the process."""
    problems: list[str]


class Signalled:
    """A folder in which one recipe is trained again and again, with a signal at another moment."""

    def __init__(self, folder: Path) -> None:
        model = tiny.make_tiny_bert(folder / "model")
        recipe = tiny.tiny_recipe(folder, model, {"test": 0.1}, **CHANGES)
        self.folder, self.run, self.recipe = folder, folder / "run", folder / "recipe.yaml"
        self.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
        assert self._finish(self._start("train")) == 0, self.said()
        self.twin: Outcome = outcome(self.run)
        shutil.rmtree(self.run)

    def measure(self, name: str, kind: str) -> Result:
        """Send the signals of `kind` at the moment `name`; look how it ends and what a resume makes of it."""
        moment = MOMENTS[name]
        (self.folder / "said.txt").unlink(missing_ok=True)
        if moment.verb == "resume":
            self._cut()
        child = self._start(moment.verb, moment, SIGNALS[kind])
        child.wait(LONGEST_RUN, until=lambda: child.page[COME] == 1)
        began = time.monotonic()
        code = self._finish(child)
        seconds = time.monotonic() - began
        problems = [] if child.page[COME] else ["the moment never came"]
        if seconds > BOUND:
            problems.append(f"it took {seconds:.1f} s to end")
        completed = (
            code == 0 and name == "the export"
        )  # all is done but the writing: it is brought to its end
        if code != EXIT_CODES[kind] and not completed:
            problems.append(f"exit code {code}: {self.said()}")
        problems += self._unsaved(kind)
        problems += self._unequal(completed)
        shutil.rmtree(self.run, ignore_errors=True)
        return Result(name, kind, code, seconds, problems)

    def said(self) -> str:
        """Return the last of what the processes printed."""
        return (self.folder / "said.txt").read_text()[-1500:]

    def _start(self, verb: str, moment: Moment | None = None, signals: tuple[str, ...] = ()) -> Child:
        words = [verb, str(self.recipe if verb == "train" else self.run)]
        return Child(_command, words, self.folder / "said.txt", moment, signals, page=self.folder / "page")

    def _finish(self, child: Child) -> int | None:
        child.wait(LONGEST_RUN)
        child.kill()
        return child.exit_code

    def _cut(self) -> None:
        """Leave a run as a SIGTERM in its middle leaves it."""
        self._finish(self._start("train", MOMENTS["training"], ("SIGTERM",)))

    def _unsaved(self, kind: str) -> list[str]:
        """Return whether the log ends as it should and what of it is in no checkpoint; an abort may lose updates."""
        log = self.run / "log.jsonl"
        if kind == "Ctrl-C twice" or not log.is_file():
            return []
        records = list(logs.read(log))
        ended = records[-1] if records else None
        if not isinstance(ended, Ended) or ended.status not in {"interrupted", "completed"}:
            return [f"the log ends with {ended}"]
        step = max((record.step for record in timeline(records) if isinstance(record, Step)), default=0)
        saved = max((commit.step for commit in checkpoints.commits(self.run / "checkpoints")), default=0)
        return [] if saved == step else [f"it stood at step {step}, the last checkpoint is of step {saved}"]

    def _unequal(self, completed: bool) -> list[str]:
        if not completed:
            code = self._finish(self._start("resume" if RunFolder(self.run).exists() else "train"))
            if code != 0:
                return [f"going on ended with exit code {code}: {self.said()}"]
        return outcome(self.run).unlike(self.twin)


COME = 2
"""Place in the shared page of the byte that says that the signal was sent."""


def _command(
    words: list[str], said: Path, moment: Moment | None, signals: tuple[str, ...], page: Path
) -> None:
    """Run one command line in this process, with `signals` at `moment`."""
    from tunewell.cli import main

    quieten(said)
    if moment is not None:
        wrap(moment.function, _Sender(moment.nth, signals, page).around)
    sys.exit(main(words))


class _Sender:
    """Sends signals to its own process at the nth call of a function."""

    def __init__(self, nth: int, signals: tuple[str, ...], page: Path) -> None:
        self.nth, self.signals, self.page = nth, signals, page
        self.calls = 0

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Count one call; send the signals before the nth."""
        self.calls += 1
        if self.calls == self.nth:
            Page(self.page)[COME] = 1
            for number, name in enumerate(self.signals):
                if number:
                    time.sleep(APART)
                os.kill(os.getpid(), getattr(signal, name))
        yield


def measure(folder: Path, *, in_turn: bool = False) -> list[Result]:
    """Return what every kind of signal led to at each moment; `in_turn`: one kind at each, one after another."""
    signalled = Signalled(folder)
    kinds = [[kind] for kind in SIGNALS] if in_turn else [[*SIGNALS]]
    every = zip(MOMENTS, cycle(kinds), strict=False)
    return [signalled.measure(name, kind) for name, some in every for kind in some]


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table: a line for each moment, exit code and seconds for each signal."""
    lines = [
        f"| the signal comes in | {' | '.join(SIGNALS)} | unequal |",
        "|---|" + "---|" * (len(SIGNALS) + 1),
    ]
    for name in dict.fromkeys(result.moment for result in results):
        here = [result for result in results if result.moment == name]
        cells = [f"{result.exit_code} in {result.seconds:.2f} s" for result in here]
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(bool(result.problems) for result in here)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNEWELL_CACHE"] = f"{folder}/cache"
        results = measure(Path(folder))
    print(table(results))
    print(f"\n{facts_of_the_machine()}")
    for result in results:
        for problem in result.problems:
            print(f"{result.moment}, {result.signal}: {problem}")


if __name__ == "__main__":
    main()

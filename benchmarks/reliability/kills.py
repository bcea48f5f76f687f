"""Runs killed with SIGKILL at random moments and resumed until they are done, against their undisturbed twins.

Run: python -m benchmarks.reliability.kills --kills 1000 --seed 1 [--out kills.json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reliability import tiny
from benchmarks.reliability.machine import facts_of_the_machine
from benchmarks.reliability.outcome import Outcome, lost, outcome
from benchmarks.reliability.processes import BETWEEN, PLACES, Child, Job, train_or_resume
from tunewell.document import dump_recipe
from tunewell.records import Ended
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.runs.folder import RunFolder

KILLS_A_RUN = 8
"""At most; a run of many kinds of moments, yet one that comes to its end."""
AIMED = 0.6
"""Share of the kills that wait for a place; the others come at a random time."""
LONGEST_PLACE = 0.02
"""Seconds after a place was reached within which an aimed kill comes."""
LONGEST_RUN = 120.0

OPENING = ("reading data", "encoding", "loading the model", "resuming")
"""Places that a process passes once, before it trains."""


@dataclass(frozen=True)
class Kind:
    """A recipe whose runs have something of their own to lose."""

    changes: dict[str, Any]
    rate_fault: tuple[int, float] | None = None


KINDS = {
    "plain": Kind({}),
    "dropout, average of weights": Kind({"dropout": 0.2, "ema_decay": 0.9}),
    "stages": Kind(
        {
            "stages": [
                {"train": "head", "num_epochs": 1, "lr_scheduler": "constant"},
                {"train": "top 1", "num_epochs": 1},
                {"num_epochs": 2},
            ],
            "ema_decay": 0.8,
        }
    ),
    "gradient accumulation": Kind({"batch_size": 4, "gradient_accumulation_steps": 4, "dropout": 0.1}),
    "embedding rows, bf16": Kind({"embeddings": "rows", "precision": "bf16"}),
    "early stopping": Kind(
        {
            "learning_rate": 1e-9,
            "eval_steps": 4,
            "early_stopping_patience": 6,
            "metric_for_best_model": "loss",
            "early_stopping_threshold": 0.01,
            "num_epochs": 9,
        }
    ),
    "rollback": Kind(
        {"num_epochs": 12, "eval_steps": 40, "save_steps": 5, "dropout": 0.1}, rate_fault=(60, 100.0)
    ),
    "fitted head": Kind({"head_init": "fitted", "max_tokens_per_batch": 128, "optimizer": "adafactor"}),
}


@dataclass
class Tally:
    """What became of the runs of one kind."""

    runs: int = 0
    kills: int = 0
    places: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Twin:
    """The run that nothing happened to."""

    outcome: Outcome
    seconds: float


class Arena:
    """A folder in which runs of one kind are killed."""

    def __init__(self, folder: Path, model: Path, kind: Kind) -> None:
        self.folder, self.kind = folder, kind
        folder.mkdir()
        common = {"num_epochs": 4, "save_steps": 3, "class_weights": "balanced", "eval_batch_size": 8}
        recipe = tiny.tiny_recipe(folder, model, {"test": 0.1}, **{**common, **kind.changes})
        self.run, self.recipe = Path(str(recipe.output_dir)), folder / "recipe.yaml"
        self.recipe.write_text(dump_recipe(recipe), encoding="utf-8")

    def start(self) -> Child:
        """Train, or resume what is there."""
        verb = "resume" if RunFolder(self.run).exists() else "train"
        job = Job(verb, self.recipe, self.run, self.folder / "errors.txt", self.kind.rate_fault)
        return Child(train_or_resume, job, page=self.folder / "page")

    def twin(self) -> Twin:
        """Train undisturbed."""
        child = self.start()
        child.wait(
            LONGEST_RUN, until=lambda: child.places()[0] != BETWEEN
        )  # the server itself may have to begin
        began = time.monotonic()
        child.wait(LONGEST_RUN)
        assert child.exit_code == 0, self.errors()
        seconds = time.monotonic() - began
        found = outcome(self.run)
        shutil.rmtree(self.run)
        return Twin(found, seconds)

    def killed_run(self, twin: Twin, kills: int, rng: random.Random, tally: Tally) -> None:
        """Train, killed up to `kills` times, resume to the end and note what is lost or unequal to `twin`."""
        durable: set[str] = set()
        killed = False
        for _ in range(kills):
            child = self.start()
            self._let_it_live(child, twin.seconds, rng)
            killed = child.kill()
            if not killed:
                break  # it ended before
            tally.kills += 1
            tally.places[_place(child, self.run)] += 1
            tally.lost += lost(self.run, durable)
            durable |= {commit.folder.name for commit in checkpoints.commits(self.run / "checkpoints")}
            if self._is_complete():
                break
        if killed and not self._is_complete():
            child = self.start()
        child.wait(LONGEST_RUN)
        tally.runs += 1
        if child.exit_code != 0 and not self._is_complete():
            child.kill()
            tally.lost.append(f"the resume ended with {child.exit_code}: {self.errors()}")
        else:
            tally.unequal += outcome(self.run).unlike(twin.outcome)
        shutil.rmtree(self.run, ignore_errors=True)
        (self.folder / "errors.txt").unlink(missing_ok=True)

    def _is_complete(self) -> bool:
        """Tell whether the run ended; its process may have been killed a moment later."""
        log = self.run / "log.jsonl"
        ends = [record for record in logs.read(log) if isinstance(record, Ended)] if log.exists() else []
        return bool(ends) and ends[-1].status in ("completed", "stopped") and (self.run / "model").is_dir()

    def places(self) -> list[str]:
        """Return the places that the next child may come to."""
        begun = (self.run / "log.jsonl").exists()
        never = {"encoding" if begun else "resuming", "rollback" if self.kind.rate_fault is None else ""}
        if "stages" not in self.kind.changes:
            never.add("changing stages")
        return [place for place in PLACES if place not in never]

    def errors(self) -> str:
        """Return the last of what the children had to say."""
        return (self.folder / "errors.txt").read_text()[-2000:]

    def _let_it_live(self, child: Child, seconds: float, rng: random.Random) -> None:
        """Wait for the moment of the kill: a random time, or some time after a random place is reached."""
        moment = rng.uniform(0, seconds)
        if rng.random() >= AIMED:
            child.wait(moment)
            return
        place = rng.choice(self.places())
        skipped = 0.0 if place in OPENING else rng.uniform(0, seconds / 2)
        after = rng.choice([0.0, rng.uniform(0, LONGEST_PLACE)])
        child.wait(skipped)
        child.wait(seconds - skipped, until=lambda: child.is_at(place))
        child.wait(after)


def _place(child: Child, run: Path) -> str:
    if not (run / "log.jsonl").exists():
        return "before the first record"
    trains, writes = child.places()
    return writes if writes in ("saving", "pruning") else trains


def measure(
    folder: Path, kills: int, seed: int, workers: int = 1, names: tuple[str, ...] = tuple(KINDS)
) -> dict[str, Tally]:
    """Return, by kind, what became of runs that were killed `kills` times in all."""
    model = tiny.make_tiny_bert(folder / "model")
    share = -(-kills // len(names))

    def of_kind(name: str) -> Tally:
        rng, tally = random.Random(f"{seed} {name}"), Tally()
        arena = Arena(folder / name.replace(", ", "-").replace(" ", "-"), model, KINDS[name])
        twin = arena.twin()
        while tally.kills < share:
            arena.killed_run(twin, min(rng.randint(1, KILLS_A_RUN), share - tally.kills), rng, tally)
        return tally

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(names, pool.map(of_kind, names), strict=True))


def table(tallies: dict[str, Tally]) -> str:
    """Return the tallies as two Markdown tables: by kind of run, and by place."""
    lines = ["| run | runs | kills | lost | unequal |", "|---|---|---|---|---|"]
    for name, tally in tallies.items():
        lines.append(f"| {name} | {tally.runs} | {tally.kills} | {len(tally.lost)} | {len(tally.unequal)} |")
    places: Counter[str] = sum((tally.places for tally in tallies.values()), Counter())
    lines += ["", "| killed in | times |", "|---|---|"]
    lines += [f"| {place} | {times} |" for place, times in places.most_common()]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNEWELL_CACHE"] = f"{folder}/cache"
        began = time.monotonic()
        tallies = measure(Path(folder), asked.kills, asked.seed, asked.workers)
        seconds = time.monotonic() - began
    print(table(tallies))
    print(f"\n{seconds:.0f} s; {facts_of_the_machine()}")
    for name, tally in tallies.items():
        for text in [*tally.lost, *tally.unequal]:
            print(f"{name}: {text}")
    if asked.out is not None:
        asked.out.write_text(json.dumps({name: vars(tally) for name, tally in tallies.items()}, indent=2))


if __name__ == "__main__":
    main()

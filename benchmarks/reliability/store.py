"""Many runs that log at once and are killed, while others list them: no record that was acknowledged may be missing.

Run: python -m benchmarks.reliability.store [--runs 32] [--rounds 10] [--seed N]

How fast one log takes records is measured by `benchmarks.log_writer`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.log_writer import records
from benchmarks.reliability.machine import facts_of_the_machine
from benchmarks.reliability.processes import Child, Page
from tunewell.records import Started, Step
from tunewell.runs import log as logs
from tunewell.runs.folder import RunFolder
from tunewell.runs.summary import list_runs, summarize

HELD, FLUSHED, SYNCED = 8, 16, 24
"""Places in the shared page: the run is held; the last step that `flush` and that `sync` returned after."""
LONGEST_LIFE = 1.0
"""Seconds that a writer lives at most."""
BURST = 20
"""Records between two acknowledgements, at most."""
PAUSE = 0.02
"""Seconds between two bursts, at most: the time of an update."""
STARTED = Started(
    run="run", recipe_hash="", data_hash="", fingerprint={}, total_steps=0, batches_per_epoch=0, num_rows={},
    trainable_parameters=0, total_parameters=0,
)  # fmt: skip


@dataclass
class Tally:
    """What became of the records."""

    kills: int = 0
    acknowledged: int = 0
    """Records that `flush` or `sync` returned after, of all runs together."""
    seconds: float = 0.0
    listings: int = 0
    """Lists of all runs made meanwhile, each of them whole."""
    problems: list[str] = field(default_factory=list)


def measure(root: Path, runs: int = 32, rounds: int = 10, seed: int = 1) -> Tally:
    """Let `runs` processes log at once and kill each at a random moment, `rounds` times; return what is missing."""
    rng, tally = random.Random(seed), Tally()
    for round_ in range(rounds):
        folder = root / f"round-{round_}"
        (folder / "runs").mkdir(parents=True)
        writers = [_writer(folder, number, rng.randrange(2**32)) for number in range(runs)]
        while not all(writer.page[HELD] for writer in writers):
            assert all(writer.exit_code is None for writer in writers), "a writer failed"
            time.sleep(0.001)
        began = time.monotonic()
        deaths = sorted((began + rng.uniform(0, LONGEST_LIFE), number) for number in range(runs))
        over = threading.Event()
        reader = threading.Thread(target=_list_until, args=(over, folder / "runs", runs, tally))
        reader.start()
        for moment, number in deaths:
            time.sleep(max(0.0, moment - time.monotonic()))
            writers[number].kill()
            tally.kills += 1
        tally.seconds += time.monotonic() - began
        over.set()
        reader.join()
        for number, writer in enumerate(writers):
            acknowledged = max(writer.page.number(FLUSHED), writer.page.number(SYNCED))
            tally.acknowledged += acknowledged
            tally.problems += _missing(folder / "runs" / f"run-{number}", acknowledged)
    return tally


def _writer(folder: Path, number: int, seed: int) -> Child:
    return Child(_log_for_ever, folder / "runs" / f"run-{number}", seed, page=folder / f"page-{number}")


def _log_for_ever(run: Path, seed: int, page: Path) -> None:
    """Log steps until somebody kills this process, and say which of them are safe."""
    rng, shared = random.Random(seed), Page(page)
    steps = records(1_000)
    folder = RunFolder.create(run, "model: none\n", {})
    with folder.hold():
        log = logs.LogWriter(folder.log)
        log.append(STARTED)
        shared[HELD] = 1
        number = 0
        while True:
            for _ in range(rng.randint(1, BURST)):
                number += 1
                log.append(_numbered(steps[number % len(steps)], number))
            if rng.random() < 0.02:
                log.sync()
                shared.set_number(SYNCED, number)
            else:
                log.flush()
                shared.set_number(FLUSHED, number)
            time.sleep(rng.uniform(0, PAUSE))


def _numbered(step: Step, number: int) -> Step:
    return Step(
        step=number, cursor=number, epoch=step.epoch, stage=0, loss=step.loss, learning_rate=step.learning_rate,
        gradient_norm=step.gradient_norm, rows=step.rows, tokens=step.tokens, seconds=step.seconds,
        layer_gradients=step.layer_gradients,
    )  # fmt: skip


def _list_until(over: threading.Event, root: Path, runs: int, tally: Tally) -> None:
    while not over.is_set():
        tally.problems += _listed(root, runs)
        tally.listings += 1


def _listed(root: Path, runs: int) -> list[str]:
    found = list_runs(root)
    problems = [
        f"{each.name} is listed as {each.status}"
        for each in found
        if each.status not in {"running", "crashed"}
    ]
    return problems if len(found) == runs else [*problems, f"{len(found)} of {runs} runs are listed"]


def _missing(run: Path, acknowledged: int) -> list[str]:
    """Return what of the acknowledged records is not in the log of a run whose writer was killed."""
    started, *steps = logs.read(run / "log.jsonl")
    numbers = [record.step for record in steps if isinstance(record, Step)]
    problems = [] if isinstance(started, Started) else [f"{run.name}: the log begins with {started}"]
    if numbers != list(range(1, len(steps) + 1)):
        problems.append(f"{run.name}: the log has gaps or strange records")
    if len(numbers) < acknowledged:
        problems.append(f"{run.name}: {len(numbers)} records, {acknowledged} were acknowledged")
    if summarize(run).status != "crashed":
        problems.append(f"{run.name}: its summary says {summarize(run).status}")
    return problems


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = measure(Path(folder), asked.runs, asked.rounds, asked.seed)
    rate = tally.acknowledged / tally.seconds
    print("| writers killed | records acknowledged | a second, all together | lists meanwhile | problems |")
    print("|---|---|---|---|---|")
    print(
        f"| {tally.kills} | {tally.acknowledged:,} | {rate:,.0f} | {tally.listings:,} | {len(tally.problems)} |"
    )
    print(f"\n{facts_of_the_machine()}")
    for problem in tally.problems:
        print(problem)


if __name__ == "__main__":
    main()

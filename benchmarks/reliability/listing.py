"""How long `tunewell runs` takes over thousands of runs, warm and with nothing in the page cache.

Run: python -m benchmarks.reliability.listing [--runs N]. The aim: 10,000 runs in less than a second. The runs are
copies of two real ones, a finished and a crashed one, of a tiny model. Compared are: the index in each run's folder
(what is built), the same without an index, and one SQLite table over all runs whose rows are checked against the
logs' lengths. Emptying the page cache needs root; without it "cold" is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks.reliability.machine import facts_of_the_machine
from benchmarks.reliability.tiny import make_tiny_bert, tiny_recipe
from tunewell.records import Step
from tunewell.runs import summary
from tunewell.runs.folder import RunFolder
from tunewell.runs.summary import Summary, list_runs

AIM_SECONDS = 1.0
CRASHED = 100
"""One run in so many has no end and so no index."""


def make_runs(root: Path, count: int) -> None:
    """Fill `root` with `count` run folders, without their weights, which a listing never opens."""
    from tunewell.training import driver

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for name in ("finished", "crashed"):
            (base / name).mkdir()
        model = make_tiny_bert(base / "model")
        for _ in driver.train(tiny_recipe(base / "finished", model)):
            pass
        records = driver.train(tiny_recipe(base / "crashed", model))
        next(record for record in records if isinstance(record, Step) and record.step == 9)
        records.close()  # type: ignore[attr-defined]
        for name in ("finished", "crashed"):
            for left_out in ("checkpoints", "model"):
                shutil.rmtree(base / name / "run" / left_out, ignore_errors=True)
        summary.store(RunFolder(base / "finished" / "run"))
        (base / "crashed" / "run" / "summary.json").unlink(missing_ok=True)
        _cut_end(base / "crashed" / "run" / "log.jsonl")
        for number in range(count):
            kind = "crashed" if number % CRASHED == CRASHED - 1 else "finished"
            shutil.copytree(base / kind / "run", root / f"run-{number:05d}")


def _cut_end(log: Path) -> None:
    """Take the record of the end away, as if the process had been killed."""
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if not line.startswith(b'{"type":"ended"')))


def without_index(root: Path) -> list[Summary]:
    """List by reading every log."""
    paths = [Path(entry.path) for entry in os.scandir(root)]
    return [summary.summarize(path, quick=True) for path in paths if RunFolder(path).exists()]


def build_sqlite(root: Path, file: Path) -> None:
    """Write all summaries into one table."""
    rows = [
        (found.name, (root / found.name / "log.jsonl").stat().st_size, msgspec.json.encode(found))
        for found in list_runs(root)
    ]
    with closing(sqlite3.connect(file)) as base, base:
        base.execute("CREATE TABLE runs (name TEXT PRIMARY KEY, log_bytes INTEGER, summary BLOB)")
        base.executemany("INSERT INTO runs VALUES (?, ?, ?)", rows)


def with_sqlite(root: Path, file: Path) -> list[Summary]:
    """List from the table; rows whose log has another length are made anew."""
    decoder = msgspec.json.Decoder(Summary)
    with closing(sqlite3.connect(file)) as base:
        known = {name: (size, text) for name, size, text in base.execute("SELECT * FROM runs")}
    found = []
    for entry in os.scandir(root):
        size, text = known[entry.name]
        if os.stat(f"{entry.path}/log.jsonl").st_size == size:
            found.append(decoder.decode(text))
        else:
            found.append(summary.summarize(Path(entry.path), quick=True))
    return found


def empty_page_cache() -> bool:
    """Forget what the kernel holds of the disk; return whether that is allowed here."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def measure(list_all: Callable[[], list[Summary]], count: int, repeats: int) -> tuple[float, float | None]:
    """Return the seconds of one listing: the median of the warm ones, and a cold one."""

    def once() -> float:
        began = time.perf_counter()
        found = list_all()
        seconds = time.perf_counter() - began
        assert len(found) == count, f"{len(found)} of {count} runs are listed"
        return seconds

    cold = once() if empty_page_cache() else None
    return statistics.median(once() for _ in range(repeats)), cold


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, table = Path(folder) / "runs", Path(folder) / "index.sqlite"
        root.mkdir()
        make_runs(root, asked.runs)
        build_sqlite(root, table)
        ways: dict[str, Callable[[], list[Summary]]] = {
            "index in each folder": lambda: list_runs(root),
            "no index": lambda: without_index(root),
            "SQLite": lambda: with_sqlite(root, table),
        }
        print(f"{asked.runs:,} runs, one in {CRASHED} without an end; {facts_of_the_machine()}\n")
        print("| way | warm | cold |\n| --- | ---: | ---: |")
        for name, way in ways.items():
            warm, cold = measure(way, asked.runs, asked.repeats)
            print(f"| {name} | {warm:.2f} s | {'–' if cold is None else f'{cold:.2f} s'} |")


if __name__ == "__main__":
    main()

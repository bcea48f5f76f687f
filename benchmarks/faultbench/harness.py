"""Jobs → outcomes: two processes of one thread each, results kept so that a call goes on where the last one ended."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec

from benchmarks.faultbench.bases import find
from benchmarks.faultbench.faults import FAULTS
from benchmarks.faultbench.healthy import HEALTHY
from benchmarks.faultbench.one_run import carry_out
from benchmarks.faultbench.outcome import Job, Outcome
from benchmarks.faultbench.store import folder

WORKERS = 2
HERE = Path(__file__).parent
WATCHING = ("nothing", "observe", "autopilot")
"""Arms of a run without a fault: a random action there would show nothing."""


def jobs(
    bases: Sequence[str], names: Sequence[str], seeds: int, arms: Sequence[str], varied: bool = False
) -> list[Job]:
    """Return the jobs of `names` (faults and healthy variants; "plain": the base as it is) on `bases`."""
    made = []
    every = find()
    for base in bases:
        for name in names:
            if is_meaningless(base, name):
                continue
            kind = "plain" if name == "plain" else "fault" if name in FAULTS else "healthy"
            made += [
                Job(
                    base=base,
                    kind=kind,
                    name="" if kind == "plain" else name,
                    seed=seed,
                    arm=arm,
                    varied=varied,
                )
                for seed in range(min(seeds, every[base].seeds or seeds))
                for arm in arms
                if kind == "fault" or arm in WATCHING
            ]
    return made


def is_meaningless(base: str, name: str) -> str:
    """Return why the fault or variant `name` is no such thing on `base`; empty: it is."""
    without = find()[base].without
    return without.get(name, without.get(FAULTS[name].code, "") if name in FAULTS else "")


def everything() -> list[str]:
    """Return the names of all runs: plain, faults by number, healthy variants."""
    return ["plain", *sorted(FAULTS, key=lambda name: FAULTS[name].number), *HEALTHY]


def carry_out_all(asked: Sequence[Job], *, file: Path | None = None, keep: bool = False) -> list[Outcome]:
    """Return the outcome of each job; those that stand in `file` with this code's stamp are not made again.

    `keep`: those of an earlier code count too.
    """
    file = file or folder() / "results.jsonl"
    now = stamp()
    known = {
        outcome.job.key: outcome
        for outcome in read(file)
        if (keep or outcome.stamp == now) and not outcome.error
    }
    missing = [job for job in asked if job.key not in known]
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_be_nice) as pool,
        file.open("ab") as out,
    ):
        futures = [pool.submit(carry_out, job, now) for job in missing]
        for count, future in enumerate(as_completed(futures), start=1):
            outcome = future.result()
            known[outcome.job.key] = outcome
            out.write(msgspec.json.encode(outcome) + b"\n")
            out.flush()
            left = (time.monotonic() - began) / count * (len(missing) - count)
            print(
                f"{count}/{len(missing)} {outcome.job.key} {outcome.error} · {left / 60:.0f} min left",
                file=sys.stderr,
            )
    return [known[job.key] for job in asked]


def read(file: Path) -> Iterable[Outcome]:
    """Yield what stands in `file`, the newest of a job last."""
    if not file.exists():
        return
    decoder = msgspec.json.Decoder(Outcome)
    for line in file.read_bytes().splitlines():
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:  # written by another version of this benchmark, or cut by a kill
            continue


def stamp() -> str:
    """Return a digest of everything that a run's outcome depends on."""
    source = HERE.parent.parent / "src" / "tunewell"
    left_out = {"report.py", "scoring.py", "__main__.py", "pages.py"}
    files = [*source.rglob("*.py"), *(path for path in HERE.rglob("*.py") if path.name not in left_out)]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _be_nice() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.nice(max(0, 19 - os.nice(0)))

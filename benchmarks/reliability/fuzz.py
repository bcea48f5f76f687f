"""Inputs broken in every way, fed to every reader: the answer is a result or an `InputError`, nothing else.

    python -m benchmarks.reliability.fuzz --seconds 3600 --seed 1
    python -m benchmarks.reliability.fuzz --seconds 60 --only images

Each case has a bound in time and in memory. Hypothesis makes the cases and makes those that fail small; a round of one
surface is repeated by the same seed.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from benchmarks.reliability import fuzz_cases, fuzz_runs
from benchmarks.reliability.fuzz_cases import Surface
from benchmarks.reliability.machine import facts_of_the_machine
from tunewell.problems import InputError

CASE_SECONDS = 60.0
"""Longest time that one case may take; most take milliseconds, and the machine may be busy."""
CASE_BYTES = 2 << 30
"""Memory that a case may take beside what was there before it."""
MOST_PROBLEMS = 100
"""Problems that one error may hold; the command line shows 20 of them."""
_CASES_A_ROUND = 25


@dataclass
class Outcome:
    """What came of all cases so far."""

    cases: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """Falsifying example and traceback by surface, error and place."""
    slowest: dict[str, float] = field(default_factory=dict)


class TooSlowError(BaseException):
    """A case took longer than `CASE_SECONDS`; no `Exception`, so that nothing under test takes it for its own."""


def fuzz(folder: Path, seconds: float, seed: int, only: str = "") -> Outcome:
    """Feed every surface whose name begins with `only`, each for the same time, until `seconds` are over."""
    outcome = Outcome()
    every = [*fuzz_cases.surfaces(folder), *fuzz_runs.surfaces(folder)]
    torch.set_flush_denormal(False)
    chosen = [surface for surface in every if surface.name.startswith(only)]
    spent = {surface.name: 0.0 for surface in chosen}
    end, number = time.monotonic() + seconds, 0
    with _bounded_memory():
        while (began := time.monotonic()) < end:
            surface = min(chosen, key=lambda each: spent[each.name])
            feed_round(surface, seed * 1_000_003 + number, outcome, end)
            spent[surface.name] += time.monotonic() - began
            number += 1
    return outcome


def feed_round(surface: Surface, seed: int, outcome: Outcome, end: float = math.inf) -> None:
    """Feed one surface a round of cases; keep a failure, made small, once for each place it comes from."""

    def case(value: Any) -> None:
        if time.monotonic() < end:
            _feed(surface, value, outcome)

    test: Callable[[], None] = seeded(seed)(
        settings(
            max_examples=_CASES_A_ROUND,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink) if _is_new(surface, outcome) else (Phase.generate,),
            report_multiple_bugs=False,
            print_blob=False,
        )(given(surface.inputs)(case))
    )
    try:
        test()
    except (Exception, TooSlowError) as error:  # any error that gets here is what is looked for
        place = next(
            (
                f"{Path(f.filename).name}:{f.lineno}"
                for f in reversed(traceback.extract_tb(error.__traceback__))
                if "tunewell" in f.filename
            ),
            "",
        )
        key = f"{surface.name}: {type(error).__name__} at {place}"
        notes = "\n".join(getattr(error, "__notes__", []))
        if key not in outcome.failures:
            outcome.failures[key] = f"{notes}\n{''.join(traceback.format_exception(error))}"
            print(f"seed {seed}: {key}\n{outcome.failures[key]}", file=sys.stderr, flush=True)


def _is_new(surface: Surface, outcome: Outcome) -> bool:
    return not any(key.startswith(f"{surface.name}:") for key in outcome.failures)


def _feed(surface: Surface, value: Any, outcome: Outcome) -> None:
    outcome.cases[surface.name] += 1
    began = time.monotonic()
    try:
        with _bounded_time():
            surface.feed(value)
    except InputError as error:
        outcome.refused[surface.name] += 1
        _check_told(error)
    finally:
        torch.set_flush_denormal(False)  # a training sets it for the process; Hypothesis needs small numbers
        outcome.slowest[surface.name] = max(outcome.slowest.get(surface.name, 0.0), time.monotonic() - began)


def _check_told(error: InputError) -> None:
    """Hold that an error is one that a user can read."""
    assert error.problems, "an error without a problem"
    assert len(error.problems) <= MOST_PROBLEMS, f"{len(error.problems)} problems at once"
    for problem in error.problems:
        assert problem.message, "a problem without a message"
        assert len(str(problem)) < 4000, "an endless message"


@contextlib.contextmanager
def _bounded_time() -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise TooSlowError(f"more than {CASE_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, CASE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """Let this process have `CASE_BYTES` more than it has now; beyond that an allocation fails."""
    status = Path("/proc/self/statm")
    before = resource.getrlimit(resource.RLIMIT_AS)
    if status.is_file():
        size = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + CASE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main() -> None:
    """Fuzz for a while and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only surfaces whose name begins so")
    asked = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as name:
        os.environ["TUNEWELL_CACHE"] = f"{name}/cache"
        outcome = fuzz(Path(name), asked.seconds, asked.seed, asked.only)
    print(facts_of_the_machine())
    print("\n| input | cases | refused in words | slowest | failed |\n| --- | ---: | ---: | ---: | ---: |")
    for surface, cases in outcome.cases.items():
        failed = sum(key.startswith(f"{surface}:") for key in outcome.failures)
        slowest = outcome.slowest.get(surface, 0.0)
        print(f"| {surface} | {cases:,} | {outcome.refused[surface]:,} | {slowest:.2f} s | {failed} |")
    sys.exit(bool(outcome.failures))


if __name__ == "__main__":
    main()

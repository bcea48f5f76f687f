"""`python -m benchmarks.faultbench`: plant, train, judge; write `docs/faultbench.md`."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from pathlib import Path

import torch

from benchmarks.faultbench import harness, report
from benchmarks.faultbench.bases import find
from benchmarks.faultbench.faults import FAULTS
from benchmarks.faultbench.outcome import Job

PAGE = Path(__file__).parents[2] / "docs" / "faultbench.md"


def main() -> None:
    """Run what is asked for, all of it by default."""
    options = _options()
    bases = options.bases.split(",") if options.bases else list(find())
    names = options.names.split(",") if options.names else harness.everything()
    asked = _jobs(options, bases, names)
    outcomes = harness.carry_out_all(asked, keep=options.keep)
    seconds = sum(one.seconds for one in outcomes)
    machine = f"{os.cpu_count()} cores ({platform.machine()}), PyTorch {torch.__version__}, Python {platform.python_version()}"
    command = shlex.join(["python", "-m", "benchmarks.faultbench", *sys.argv[1:]])
    text = report.page(outcomes, machine, seconds, command)
    for one in outcomes:
        if one.error:
            print(f"broken: {one.job.key}: {one.error}")
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
        print(f"wrote {PAGE.name}")
    else:
        print(text)


def _jobs(options: argparse.Namespace, bases: list[str], names: list[str]) -> list[Job]:
    """Detection over all seeds; repair over fewer, and only on scored bases."""
    jobs = harness.jobs(bases, names, options.seeds, ["observe"], options.varied)
    arms = [arm for arm in options.arms.split(",") if arm and arm != "observe"]
    scored = [base for base in bases if find()[base].scored and not find()[base].apart]
    return jobs + harness.jobs(scored, names, min(options.seeds, options.repair_seeds), arms, options.varied)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faultbench", description=__doc__)
    parser.add_argument("--bases", help=f"some of: {', '.join(find())}")
    parser.add_argument("--names", help=f"plain, healthy variants, or faults: {', '.join(FAULTS)}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repair-seeds", type=int, default=2, help="seeds of the arms that act")
    parser.add_argument("--arms", default="observe,autopilot,random")
    parser.add_argument(
        "--varied", action="store_true", help="other magnitudes, drawn from each fault's range"
    )
    parser.add_argument("--keep", action="store_true", help="count results of an earlier code too")
    parser.add_argument("--write", action="store_true", help="write the page in place of printing it")
    return parser.parse_args()


if __name__ == "__main__":
    main()

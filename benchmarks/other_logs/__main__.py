"""`python -m benchmarks.other_logs [seeds] [first] [folder]`: what `tunewell diagnose` says of each run, counted.

The rules were made with the seeds 0 to 3 in sight, so that others are counted unless `first` says otherwise. Logs are
kept in `folder`, where one is given, and not made again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.other_logs.faults import FAULTS, Fault
from benchmarks.other_logs.runs import TOOLS
from tunewell.integrations.logs import diagnosed, read
from tunewell.records import Finding


def codes_of(fault: Fault, tool: str, seed: int, folder: Path) -> list[str]:
    """Return what is said above info of one run, and at all where it names the fault."""
    place = folder / "_".join(fault.name.replace(",", "").split()) / tool.replace(" ", "_") / str(seed)
    done = place / "place"
    if not done.exists():
        place.mkdir(parents=True, exist_ok=True)
        done.write_text(str(TOOLS[tool](fault, seed, place)))
    records = diagnosed(read(Path(done.read_text())), {}, 0 if tool == "transformers" else 10)
    findings = [record for record in records if isinstance(record, Finding)]
    return [one.code for one in findings if one.severity != "info" or one.code in fault.codes]


def main(seeds: int = 4, first: int = 100, kept: str = "") -> None:
    torch.set_num_threads(1)
    folder = Path(kept or tempfile.mkdtemp())
    print("| condition | " + " | ".join(TOOLS) + " |\n|" + " --- |" * (len(TOOLS) + 1))
    for fault in FAULTS:
        cells, others = [], []
        for tool in TOOLS:
            told = [codes_of(fault, tool, seed, folder) for seed in range(first, first + seeds)]
            right = [
                bool(set(fault.codes).intersection(codes)) if fault.codes else not codes for codes in told
            ]
            cells.append(f"{sum(right)} of {seeds}")
            others += [f"{tool}: {', '.join(codes) or 'nothing'}" for codes in told]
        print(f"| {fault.name} | {' | '.join(cells)} |", flush=True)
        print("\n".join(f"    {other}" for other in others), file=sys.stderr)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:4])

"""`python -m benchmarks.other_logs [seeds] [folder]`: what `tunewell diagnose` says of each run, counted."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.other_logs.faults import FAULTS
from benchmarks.other_logs.runs import TOOLS
from tunewell.integrations.logs import diagnosed, read
from tunewell.records import Finding


def main(seeds: int, kept: Path | None) -> None:
    torch.set_num_threads(1)
    folder = kept or Path(tempfile.mkdtemp())
    print(f"{'fault':32}{'tool':14}named of {seeds}; what was said (info only where it names the fault)")
    for fault in FAULTS:
        for tool, run in TOOLS.items():
            told = []
            for seed in range(seeds):
                place = (
                    folder
                    / fault.name.replace(" ", "_").replace(",", "")
                    / tool.replace(" ", "_")
                    / str(seed)
                )
                done = place / "place"
                if not done.exists():
                    place.mkdir(parents=True, exist_ok=True)
                    done.write_text(str(run(fault, seed, place)))
                records = diagnosed(read(Path(done.read_text())), {}, 0 if tool == "transformers" else 10)
                told.append(
                    [
                        r.code
                        for r in records
                        if isinstance(r, Finding) and (r.severity != "info" or r.code in fault.codes)
                    ]
                )
            right = sum(
                bool(set(fault.codes).intersection(codes)) if fault.codes else not codes for codes in told
            )
            print(
                f"{fault.name:32}{tool:14}{right}  {' | '.join(','.join(codes) or '-' for codes in told)}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, Path(sys.argv[2]) if len(sys.argv) > 2 else None)

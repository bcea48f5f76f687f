"""What checkpoints cost a run in wall time, all told: training with them beside training without.

usage: python -m benchmarks.reliability.saving_cost [--rows 1500] [--save-steps 20] [--repeats 3]

MiniLM on the shipped movie reviews, one epoch; each run in a process of its own, the two kinds by turns. A run without
checkpoints still writes those of its beginning and its end, outside of the seconds that count: those from the first
update to the last.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.reliability.machine import facts_of_the_machine
from tunewell.records import Committed, Step
from tunewell.runs import log

RECIPE = Path(__file__).parents[2] / "examples" / "movie_reviews.yaml"


def main() -> None:
    """Run both kinds by turns and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=1500)
    options.add_argument("--save-steps", type=int, default=20)
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args()
    found: dict[str, list[tuple[float, float, int]]] = {"none": [], str(asked.save_steps): []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(asked.repeats):
            for every, measured in found.items():
                run = Path(folder) / f"{every}-{repeat}"
                measured.append(_measured(run, asked.rows, None if every == "none" else asked.save_steps))
    print(
        "| checkpoints | seconds of training (median) | × without | of them waited | written |\n|---|---|---|---|---|"
    )
    without = statistics.median(seconds for seconds, _, _ in found["none"])
    for every, measured in found.items():
        seconds = statistics.median(one[0] for one in measured)
        name = "none" if every == "none" else f"every {every} updates"
        waited = statistics.median(one[1] for one in measured)
        print(f"| {name} | {seconds:.2f} | {seconds / without:.3f} | {waited:.2f} s | {measured[0][2]} |")
    print(f"\nall seconds: {found}\n{facts_of_the_machine()}")


def _measured(run: Path, rows: int, save_steps: int | None) -> tuple[float, float, int]:
    """Return seconds from the first update to the last, those of them waited for commits, and the commits."""
    settings = {
        "output_dir": run,
        "num_epochs": 1,
        "data.max_rows": rows,
        "data.test": "null",
        "save_steps": save_steps or "null",
        "load_best_model_at_end": "false",
    }
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "tunewell", "train", str(RECIPE), *changes]
    subprocess.run(command, check=True, capture_output=True)
    records = list(log.read(run / "log.jsonl"))
    steps = [record for record in records if isinstance(record, Step)]
    began, ended = steps[0].time - steps[0].seconds, steps[-1].time
    during = [r for r in records if isinstance(r, Committed) and 0 < r.step < steps[-1].step]
    return ended - began, sum(record.seconds for record in during), len(during)


if __name__ == "__main__":
    main()

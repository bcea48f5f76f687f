"""Tunewell beside the transformers Trainer: the same reviews, the same model, one after the other.

usage: python -m benchmarks.side_by_side [--data FOLDER] [--rows 3000] [--test 1000] [--arms a,b]; FOLDER holds
train.jsonl.xz and test.jsonl.xz of IMDb. Each arm is a process of its own. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._imdb import write_subset
from benchmarks.matrix_rate import training_operations

SAME = ["batch_size=8", "learning_rate=5e-5", "warmup_ratio=0", "data.max_length=256"]
SOONEST = [
    "batch_size=16",
    "learning_rate=1e-4",
    "head_init=fitted",
    "data.max_length=128",
    "data.truncation=head_tail",
    "embeddings=freeze",
]
ARMS = {
    "Trainer, defaults": ["benchmarks.arm_trainer"],
    "Trainer, best settings": ["benchmarks.arm_trainer", "--best"],
    "Tunewell, the same work": ["benchmarks.arm_tunewell", *SAME],
    "Tunewell, soonest": ["benchmarks.arm_tunewell", *SOONEST],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data/imdb"))
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--arms", default="", help="run only arms whose name holds one of these words")
    chosen = parser.parse_args()
    words = [word for word in chosen.arms.split(",") if word]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        write_subset(chosen.data, Path(folder), chosen.rows, chosen.test)
        for name, (module, *arguments) in ARMS.items():
            if words and not any(word in name for word in words):
                continue
            command = [sys.executable, "-m", module, folder, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr}")
            results[name] = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{name}: {results[name]}", file=sys.stderr, flush=True)
    print(table(results, chosen.rows))


def table(results: dict[str, dict[str, float]], rows: int) -> str:
    """Return the results as Markdown, times as ratios to the Trainer's where it ran."""
    base = results.get("Trainer, defaults", {}).get("seconds")
    best = results.get("Trainer, best settings", {}).get("seconds")
    lines = [
        "| | seconds | × defaults | × best | accuracy | tokens/s | matrix products / measured rate | peak GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        speed = r["tokens"] / r["seconds"]
        share = ""
        if "rate" in r:
            operations = training_operations(int(r["tokens"]), r["tokens"] / rows)
            share = f"{operations / r['step_seconds'] / r['rate']:.0%} of {r['rate'] / 1e9:.0f} GFLOP/s"
        ratios = [f"{base / r['seconds']:.2f}" if base else "", f"{best / r['seconds']:.2f}" if best else ""]
        lines.append(
            f"| {name} | {r['seconds']:.0f} | {ratios[0]} | {ratios[1]} | {r['accuracy']:.3f} | {speed:,.0f} | {share} |"
            f" {r['peak_gib']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

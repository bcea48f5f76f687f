"""A training and an evaluation with too little memory for their batches: both end, and come to the same.

usage: python -m benchmarks.reliability.out_of_memory. The memory is really refused: each process may take so many MiB of
address space more than it has once all is loaded (`ulimit -v`). Linux only. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.reliability.machine import facts_of_the_machine
from benchmarks.reliability.tiny import make_tiny_bert, sentence, tiny_recipe
from tunewell.recipe import Recipe

ROWS, TOKENS, BATCH_SIZE = 80, 510, 32
FREE_MIB = {"evaluation": 30, "training": 200}
"""Enough for half a batch or less, not for a whole one: 32 rows of 510 tokens have 64 MiB of attention scores a layer."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--of", choices=sorted(FREE_MIB), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mib", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.of is not None:
        print(json.dumps({"evaluation": evaluate, "training": train}[chosen.of](chosen.folder, chosen.mib)))
        return
    print(facts_of_the_machine())
    print("\n| of | MiB more | came to | without a limit | largest difference |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for of, mib in FREE_MIB.items():
            limited, free = limited_and_free(of, Path(folder), mib)
            apart = difference(limited, free)
            print(f"| {of} | {mib} | {limited['told']} | {free['told']} | {apart:.1g} |")


def prepare(folder: Path) -> None:
    """Write a tiny model for long texts, and long texts."""
    make_tiny_bert(folder / "model", max_position_embeddings=512)
    rng = random.Random(0)
    rows = [
        {"text": sentence(rng, i % 2 == 0, TOKENS), "label": "good" if i % 2 == 0 else "bad"}
        for i in range(ROWS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def limited_and_free(of: str, folder: Path, mib: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the evaluation or the training came to with `mib` more, and without a limit."""
    return _of_process(of, folder, mib), _of_process(of, folder, 0)


def difference(one: dict[str, Any], two: dict[str, Any]) -> float:
    """Return the largest difference between the numbers that two processes came to."""
    return max(abs(a - b) for a, b in zip(one["numbers"], two["numbers"], strict=True))


def evaluate(folder: Path, mib: int) -> dict[str, Any]:
    """Evaluate the model in whole batches, with `mib` MiB more; 0: without a limit."""
    from tunewell.training import setup
    from tunewell.training.evaluate import evaluate as evaluated

    prepared = setup.prepare_run(_recipe(folder, "evaluation"), folder)
    model = setup.begin(prepared).model
    _allow(mib)
    encoded, device = prepared.splits["train"], prepared.compute.device
    found = evaluated(prepared.task, model, encoded, BATCH_SIZE, device)
    numbers = [found.loss, *found.metrics.values(), *found.row_losses.tolist()]
    return {"told": f"batches of {found.batch_size}", "numbers": numbers, "batch_size": found.batch_size}


def train(folder: Path, mib: int) -> dict[str, Any]:
    """Train the model in whole batches, with `mib` MiB more once the run began; 0: without a limit."""
    from safetensors.numpy import load_file

    from tunewell.records import Acted, Ended, Started
    from tunewell.training import driver

    name = f"training-{mib}"
    split, status = 0, ""
    for record in driver.train(_recipe(folder, name)):
        if isinstance(record, Started):
            _allow(mib)
        split += isinstance(record, Acted) and "memory ran out" in record.reason
        status = record.status if isinstance(record, Ended) else status
    weights = load_file(folder / name / "model" / "model.safetensors")
    return {
        "told": f"{status}, batches split {split} times",
        "numbers": [float(number) for name in sorted(weights) for number in weights[name].ravel()[:1000]],
        "status": status,
        "split": split,
    }


def _recipe(folder: Path, run: str) -> Recipe:
    data = {"train": str(folder / "rows.jsonl"), "max_length": 512, "validation": 0.2}
    changes = {
        "batch_size": BATCH_SIZE,
        "eval_batch_size": 8,
        "optimizer": "sgd",
        "learning_rate": 1e-2,
        "num_epochs": 1,
    }
    changes |= {"load_best_model_at_end": False, "output_dir": str(folder / run)}
    return tiny_recipe(folder, folder / "model", data, **changes)


def _allow(mib: int) -> None:
    """Let this process take `mib` MiB of address space more than it has; 0: as much as there is."""
    import resource

    words = Path("/proc/self/status").read_text().split()
    held = int(words[words.index("VmSize:") + 1]) * 2**10
    if mib:
        resource.setrlimit(resource.RLIMIT_AS, (held + mib * 2**20, resource.RLIM_INFINITY))


def _of_process(of: str, folder: Path, mib: int) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.reliability.out_of_memory",
        "--of",
        of,
        "--folder",
        str(folder),
    ]
    done = subprocess.run([*command, "--mib", str(mib)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    main()

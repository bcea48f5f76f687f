"""What `tunewell check` expects of a run beside what the run then took: time, memory, disk.

usage: python -m benchmarks.reliability.estimates [--recipes a,b] [--data FOLDER] [--threads 2]; FOLDER holds
train.jsonl.xz and test.jsonl.xz of IMDb, for the recipe with long texts. Each dry step and each training is a process
of its own. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks._imdb import write_subset
from benchmarks.reliability.tiny import make_tiny_bert, write_reviews
from tunewell.document import load_recipe
from tunewell.recipe import Recipe

EXAMPLE = Path(__file__).parents[2] / "examples" / "movie_reviews.yaml"
LOOK_SECONDS = 0.02
"""Between two looks at how much a run has on the disk."""

RECIPES: dict[str, dict[str, Any]] = {
    "tiny BERT": {"num_epochs": 20},
    "600 reviews": {"data.max_rows": 600},
    "2,000 reviews, 1 epoch": {"data.max_rows": 2000, "num_epochs": 1},
    "accumulation": {"data.max_rows": 600, "batch_size": 8, "gradient_accumulation_steps": 4},
    "token budget": {"data.max_rows": 600, "max_tokens_per_batch": 1024},
    "embeddings: freeze": {"data.max_rows": 600, "embeddings": "freeze"},
    "embeddings: rows": {"data.max_rows": 600, "embeddings": "rows"},
    "moving average": {"data.max_rows": 600, "ema_decay": 0.99},
    "stages": {"data.max_rows": 600, "stages": [{"train": "head"}, {"train": "all", "num_epochs": 1}]},
    "adafactor": {"data.max_rows": 600, "optimizer": "adafactor"},
    "sgd": {"data.max_rows": 600, "optimizer": "sgd"},
    "long texts": {"data.max_length": 256, "batch_size": 16, "num_epochs": 1},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipes", default="", help="only those whose name holds one of these words")
    parser.add_argument("--data", type=Path, help="folder of IMDb")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--of", choices=["estimate", "training"], help=argparse.SUPPRESS)
    parser.add_argument("--recipe", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.of is not None:
        recipe = Recipe.model_validate_json(chosen.recipe.read_text(encoding="utf-8"))
        print(json.dumps(estimated(recipe) if chosen.of == "estimate" else trained(recipe)))
        return
    words = [word for word in chosen.recipes.split(",") if word]
    print(heading(chosen.threads), flush=True)
    for name, changes in RECIPES.items():
        if (words and not any(word in name for word in words)) or (name == "long texts" and not chosen.data):
            continue
        print(row(name, *measured(name, changes, chosen.data, chosen.threads)), flush=True)


def measured(
    name: str, changes: dict[str, Any], data: Path | None, threads: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return what was estimated and what a training then took, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_of(name, Path(folder), {**changes, "num_threads": threads}, data)
        file = Path(folder) / "recipe.json"
        file.write_text(recipe.model_dump_json(exclude_unset=True), encoding="utf-8")
        both = []
        for what in ("estimate", "training"):
            command = [sys.executable, "-m", __spec__.name, "--of", what, "--recipe", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name}, {what}: {done.stderr}")
            both.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return both[0], both[1]


def recipe_of(name: str, folder: Path, changes: dict[str, Any], data: Path | None) -> Recipe:
    """Return the recipe `name`: the example's, with `changes` by dotted key."""
    asked = load_recipe(EXAMPLE).model_dump(exclude_unset=True)
    sources = {key: [str(EXAMPLE.parent / name) for name in asked["data"][key]] for key in ("train", "test")}
    if name == "long texts":
        assert data is not None
        write_subset(data, folder, train_rows=400, test_rows=100)
        sources = {key: [str(folder / f"{key}.jsonl")] for key in ("train", "test")}
        del asked["data"]["labels"]
    if name == "tiny BERT":
        asked["model"] = str(make_tiny_bert(folder / "model"))
        sources = {"train": [str(write_reviews(folder / "train.jsonl", count=1000))]}
        asked["data"] = {"validation": 0.1}
    asked["data"].update(sources)
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = asked
        for parent in parents:
            section = section[parent]
        section[last] = value
    return Recipe.model_validate({**asked, "output_dir": str(folder / "run")})


def estimated(recipe: Recipe) -> dict[str, Any]:
    """Return the estimate of `recipe`, as `tunewell check` makes it."""
    import msgspec

    from tunewell.training import estimate, setup

    began = time.perf_counter()
    prepared = setup.prepare_run(recipe, Path())
    found = estimate.estimate(prepared, prepared_in=time.perf_counter() - began)
    return {**msgspec.to_builtins(found), "took": time.perf_counter() - began}


def trained(recipe: Recipe) -> dict[str, Any]:
    """Return what training `recipe` takes."""
    from tunewell.records import Eval, Step
    from tunewell.training import driver, memory

    assert recipe.output_dir is not None
    run, most, over = Path(recipe.output_dir), 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(LOOK_SECONDS):
            most = max(most, disk_bytes(run))

    watching = threading.Thread(target=look)
    watching.start()
    began = time.perf_counter()
    try:
        records = list(driver.train(recipe))
    finally:
        seconds = time.perf_counter() - began
        over.set()
        watching.join()
    return {
        "seconds": seconds,
        "training": sum(record.seconds for record in records if isinstance(record, Step)),
        "evaluation": sum(record.seconds for record in records if isinstance(record, Eval)),
        "memory_bytes": memory.peak_bytes(),
        "disk_bytes": max(most, disk_bytes(run)),
    }


def disk_bytes(folder: Path) -> int:
    """Return the bytes of all files in `folder`, some of which may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def heading(threads: int) -> str:
    """Return the facts of the machine and the head of the table."""
    return (
        f"{platform.processor() or platform.machine()}, {threads} threads, Python {platform.python_version()}\n\n"
        "| recipe | dry step, s | time, s: expected | was | error | memory, MiB: expected | was | error |"
        " disk, MiB: expected | was | error |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )


def row(name: str, expected: dict[str, Any], was: dict[str, float]) -> str:
    """Return a line of the table."""
    cells = [name, f"{expected['took']:.0f}"]
    pairs = [
        (expected["total_seconds"], was["seconds"], 1.0),
        (expected["memory_bytes"], was["memory_bytes"], 2**20),
        (expected["disk_bytes"], was["disk_bytes"], 2**20),
    ]
    for guess, truth, unit in pairs:
        cells += [f"{guess / unit:.1f}", f"{truth / unit:.1f}", f"{guess / truth - 1:+.0%}"]
    parts = f"{expected['seconds']} against {was}"
    print(f"{name}: {parts}", file=sys.stderr, flush=True)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

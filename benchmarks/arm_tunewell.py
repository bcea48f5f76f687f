"""One arm of `side_by_side`: a whole Tunewell run on the subset, with log, monitors, policy and checkpoints.

usage: python -m benchmarks.arm_tunewell FOLDER [key=value ...]; prints one JSON line. `seconds` is everything between
the data and the result but the tests before and after: fitting, training, checkpoints; `rate` is the bf16 matrix
product rate of this machine, measured just before.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import tunewell  # noqa: F401 - sets how threads wait, before torch
from benchmarks.matrix_rate import matrix_rate
from tunewell.document import load_recipe
from tunewell.records import Committed, Eval, Step
from tunewell.training import driver, setup


def main() -> None:
    folder, overrides = Path(sys.argv[1]), sys.argv[2:]
    out = folder / "tunewell-run"
    shutil.rmtree(out, ignore_errors=True)
    recipe_file = folder / "recipe.yaml"
    recipe_file.write_text(
        "model: minilm\ndata:\n  train: train.jsonl\n  test: test.jsonl\n  validation: null\n  leakage: allow\n"
        f"num_epochs: 1\noutput_dir: {out}\n",
        encoding="utf-8",
    )
    recipe = load_recipe(recipe_file, overrides)
    from tunewell.training.device import choose

    compute = choose(recipe.device, recipe.precision, recipe.num_threads)
    rate = matrix_rate(compute.weight_dtype)
    fitting = timed(setup, "fit_head")
    steps, tests, blocked = [], [], 0.0
    began = time.perf_counter()
    for record in driver.train(recipe, folder):
        match record:
            case Step():
                steps.append(record)
            case Eval():
                tests.append(record)
            case Committed():
                blocked += record.seconds
    # Reading and encoding the data is not the Trainer's training time either; the two tests aren't.
    first = tests[0]
    seconds = tests[-1].time - tests[-1].seconds - first.time + sum(fitting)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "whole_seconds": time.perf_counter() - began,
                "step_seconds": sum(step.seconds for step in steps),
                "accuracy": tests[-1].metrics["accuracy"],
                "before": first.metrics["accuracy"],
                "tokens": sum(step.tokens for step in steps),
                "fitting_seconds": sum(fitting),
                "blocked_by_checkpoints": blocked,
                "rate": rate,
                "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )
    )


def timed(module: object, name: str) -> list[float]:
    """Let function `name` of `module` note how long each of its calls takes in the list that is returned."""
    function, seconds = getattr(module, name), []

    def noted(*arguments: object) -> object:
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds.append(time.perf_counter() - began)

    setattr(module, name, noted)
    return seconds


if __name__ == "__main__":
    main()

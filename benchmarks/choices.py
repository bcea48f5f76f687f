"""What each choice of the defaults does to accuracy and time, over seeds: dropout, embeddings, the head's beginning.

usage: python -m benchmarks.choices [--seeds 5] [--rows 3000]; the shipped movie reviews, one epoch, tested on 2,000 held-out
rows. Prints a Markdown table: mean and standard deviation over seeds, processor seconds of training (less shaken by
other programs than wall time).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from tunewell.document import load_document
from tunewell.training.evaluate import evaluate
from tunewell.training.loop import train_steps
from tunewell.training.setup import build_weights, prepare_run
from tunewell.training.state import TrainState

RECIPE = Path(__file__).parent.parent / "examples" / "movie_reviews.yaml"
CHOICES = {
    "defaults": [],
    "dropout: null (the model's own, 0.1)": ["dropout=null"],
    "embeddings: rows": ["embeddings=rows"],
    "embeddings: freeze": ["embeddings=freeze"],
    "head_init: fitted": ["head_init=fitted"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=3000)
    chosen = parser.parse_args()
    print("| choice | accuracy | loss | processor seconds |\n|---|---|---|---|")
    for name, overrides in CHOICES.items():
        runs = [
            one_run([*overrides, f"seed={seed}", f"data.max_rows={chosen.rows}"])
            for seed in range(chosen.seeds)
        ]
        accuracy, loss, seconds = zip(*runs, strict=True)
        spread = statistics.stdev(accuracy) if len(runs) > 1 else 0.0
        print(
            f"| {name} | {statistics.mean(accuracy):.4f} ± {spread:.4f} | {statistics.mean(loss):.3f} |"
            f" {statistics.median(seconds):.1f} |",
            flush=True,
        )
        print(f"{name}: {[round(a, 4) for a in accuracy]}", file=sys.stderr, flush=True)


def one_run(overrides: list[str]) -> tuple[float, float, float]:
    """Return accuracy and loss on the test rows, and the processor seconds of fitting and training."""
    document = load_document(RECIPE, ["num_epochs=1", "data.validation=null", *overrides])
    prepared = prepare_run(document.recipe, Path(document.base))
    began = time.process_time()
    weights = build_weights(prepared)
    state = TrainState(document.recipe, weights.model, weights)
    state.enter(prepared.work.plan.stages[0])
    for _ in train_steps(state, prepared.work):
        pass
    seconds = time.process_time() - began
    outcome = evaluate(prepared.task, weights.model, prepared.splits["test"], 64, prepared.compute.device)
    return outcome.metrics["accuracy"], outcome.loss, seconds


if __name__ == "__main__":
    main()

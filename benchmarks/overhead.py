"""What watching and saving cost a run, read from the log of a finished one.

usage: python -m benchmarks.overhead RUN. The monitors are run once more over the log's records; the probes' cost is the
difference between the steps that measured the layers and those that did not, of like size; checkpoints by the time
that training waited for them.
"""

from __future__ import annotations

import statistics
import sys
import time

from tunewell.document import load_recipe
from tunewell.monitors import Watch, from_recipe
from tunewell.records import Committed, Step
from tunewell.runs import log
from tunewell.runs.folder import find


def main() -> None:
    run = find(sys.argv[1])
    records = list(log.read(run.log))
    steps = [record for record in records if isinstance(record, Step)]
    watch = Watch(from_recipe(load_recipe(run.recipe), "accuracy"))
    began = time.process_time()
    for record in records:
        watch.observe(record)
    watching = (time.process_time() - began) / len(steps)

    # Seconds a token, so that long and short batches compare; the first steps warm up.
    def per_token(chosen: list[Step]) -> float:
        return statistics.median(step.seconds / step.tokens for step in chosen[3:])

    probed = [step for step in steps if step.layer_gradients]
    plain = [step for step in steps if not step.layer_gradients]
    step_seconds = statistics.mean(step.seconds for step in steps)
    tokens = statistics.mean(step.tokens for step in steps)
    probing = (per_token(probed) - per_token(plain)) * tokens * len(probed) / len(steps)
    commits = [record for record in records if isinstance(record, Committed)]
    waited = sum(commit.seconds for commit in commits)
    total = sum(step.seconds for step in steps)
    print("| part | cost | share of training |\n|---|---|---|")
    print(f"| monitors | {watching * 1e6:.0f} µs a step | {watching / step_seconds:.2%} |")
    print(
        f"| probes of layers, every {len(steps) // max(1, len(probed))} steps | {probing * 1e3:.2f} ms a step |"
        f" {probing / step_seconds:.2%} |"
    )
    print(f"| {len(commits)} checkpoints, waited for | {waited:.2f} s | {waited / total:.2%} |")


if __name__ == "__main__":
    main()

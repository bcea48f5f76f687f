"""What judgement costs a run, measured on and off in one process: ``python -m benchmarks.judging [RECIPE]``.

Two equal runs make their updates in turns, so that whatever else the machine does hits both: one bare, the other with
looks inside, records, monitors and the review of rows. The cost of an update is that of an ordinary
one plus a twentieth of what a look adds; medians of processor time, since other programs may run. What is done once,
before the first update, is told beside it: data checks and self-tests.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tunewell import monitors
from tunewell.document import load_recipe
from tunewell.monitors import Watch
from tunewell.recipe import Recipe
from tunewell.runs.folder import RunFolder
from tunewell.training.loop import Update, train_steps
from tunewell.training.measure import label_counter, to_records
from tunewell.training.rehearsal import rehearse
from tunewell.training.reviewing import Reviewing
from tunewell.training.setup import Prepared, begin, data_checked, prepare_run

DEMO = Path(__file__).parent.parent / "examples" / "movie_reviews.yaml"
UPDATES, WARM_UP = 80, 4
LOOKED_EVERY = 4
"""More often than a run is looked into, so that there is something to take the median of."""
PROBE_STEPS = 20


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    recipe = load_recipe(file, ["num_threads=1"])
    bare = prepare_run(recipe.model_copy(update={"probe_steps": 0}), file.parent)
    judged = prepare_run(recipe.model_copy(update={"probe_steps": LOOKED_EVERY}), file.parent)
    with tempfile.TemporaryDirectory() as folder:
        plain, looked, judging = measure(bare, judged, Path(folder))
    step = statistics.median(plain)
    look = max(0.0, statistics.median(looked) - step)
    every = statistics.median(judging)
    print(f"update {step * 1e3:.1f} ms of processor time")
    print("| part | cost | share of an update |\n|---|---|---|")
    print(f"| records, monitors, review of rows | {every * 1e3:.2f} ms an update | {every / step:.2%} |")
    spread = look / PROBE_STEPS
    print(
        f"| a look inside, every {PROBE_STEPS} updates | {spread * 1e3:.2f} ms an update | {spread / step:.2%} |"
    )
    for name, seconds in once(judged, recipe).items():
        share = seconds / (step * judged.work.plan.total_steps)
        print(f"| {name}, once | {seconds:.2f} s | {share:.2%} of all updates |")


def measure(bare: Prepared, judged: Prepared, folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Return processor seconds of bare updates, of updates looked into, and of all that follows an update."""
    courses = [train_steps(begin(prepared), prepared.work) for prepared in (bare, judged)]
    encoded, dataset = judged.work.encoded, judged.dataset
    counter = label_counter(dataset.problem, encoded.targets, dataset.labels)
    watch = Watch(monitors.from_recipe(judged.recipe, judged.task.main_metric))
    reviewing = Reviewing(judged, RunFolder(folder))
    plain: list[float] = []
    looked: list[float] = []
    judging: list[float] = []
    for number in range(UPDATES):
        taken: dict[int, tuple[Update, float]] = {}
        for which in (0, 1) if number % 2 else (1, 0):
            taken[which] = timed(courses[which])
        began = time.process_time()
        update = taken[1][0]
        [(step, seen, _)] = to_records([update], encoded.rows, counter)
        reviewing.note(update)
        for record in (step, *([seen] if seen is not None else [])):
            watch.observe(record)
        after = time.process_time() - began
        if number >= WARM_UP:
            plain.append(taken[0][1])
            judging.append(after)
            if seen is not None:
                looked.append(taken[1][1] - taken[0][1])
    median = statistics.median(plain)
    return plain, [median + extra for extra in looked], judging


def timed(course: Iterator[Update]) -> tuple[Update, float]:
    began = time.process_time()
    return next(course), time.process_time() - began


def once(prepared: Prepared, recipe: Recipe) -> dict[str, float]:
    """Return the processor seconds of what is done before the first update."""
    began = time.process_time()
    data_checked(prepared)
    checked = time.process_time()
    state = begin(prepared)
    loaded = time.process_time()
    rehearse(prepared, state)
    return {"data checks": checked - began, "self-tests": time.process_time() - loaded}


if __name__ == "__main__":
    main()

"""A long run of tiny steps: whether memory, file descriptors and threads stay what they were.

Run: python -m benchmarks.reliability.soak [--steps 50000] [--out soak.json]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.reliability import tiny
from benchmarks.reliability.machine import facts_of_the_machine

EVERY = 1_000
"""Steps between two looks."""
SETTLED = 0.2
"""Share of the run after which caches are full and windows have their length."""
ROWS = 1_000
"""So few that several epochs end while it is looked at: what an epoch's first end loads is there before."""
PAGE_KIB = 4
STATUS, DESCRIPTORS, THREADS = (Path("/proc/self") / name for name in ("status", "fd", "task"))


@dataclass(frozen=True)
class Sample:
    """What the process held after an update."""

    step: int
    seconds: float
    resident_kib: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Line:
    """A straight line through the settled part of a run: its slope, and the slope's standard error."""

    per_thousand_steps: float
    error: float

    @property
    def is_flat(self) -> bool:
        """Whether it grows by less than a page of memory in a thousand updates, or no more than noise tells."""
        return self.per_thousand_steps <= max(PAGE_KIB, 3 * self.error)


def soak(folder: Path, steps: int, every: int = EVERY) -> list[Sample]:
    """Train a tiny model for `steps` updates with all that a run has, and look every `every` of them."""
    from tunewell.records import Step
    from tunewell.training import driver

    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = tiny.make_tiny_bert(folder / "model", **shape)
    rows = tiny.write_reviews(folder / "reviews.jsonl", count=ROWS)
    recipe = tiny.tiny_recipe(
        folder,
        model,
        {"train": str(rows), "validation": 0.02},
        batch_size=4,
        learning_rate=1e-5,
        num_epochs=1_000,
        max_steps=steps,
        eval_steps=every // 2,
        save_steps=every // 4,
        ema_decay=0.99,
    )
    began = time.monotonic()
    return [
        _look(record.step, time.monotonic() - began)
        for record in driver.train(recipe)
        if isinstance(record, Step) and record.step % every == 0
    ]


def line(samples: list[Sample]) -> Line:
    """Return the course of resident memory in KiB, by least squares."""
    settled = samples[math.ceil(len(samples) * SETTLED) :]
    x = [sample.step / 1_000 for sample in settled]
    y = [float(sample.resident_kib) for sample in settled]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((each - middle_x) ** 2 for each in x)
    slope = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / spread
    residue = sum((b - middle_y - slope * (a - middle_x)) ** 2 for a, b in zip(x, y, strict=True))
    return Line(slope, math.sqrt(residue / max(1, len(x) - 2) / spread))


def table(samples: list[Sample]) -> str:
    """Return the first, the settled and the last sample as a Markdown table."""
    lines = ["| after step | resident memory | descriptors | threads |", "|---|---|---|---|"]
    for sample in (samples[0], samples[math.ceil(len(samples) * SETTLED)], samples[-1]):
        memory = f"{sample.resident_kib / 1024:.1f} MiB"
        lines.append(f"| {sample.step:,} | {memory} | {sample.descriptors} | {sample.threads} |")
    return "\n".join(lines)


def _look(step: int, seconds: float) -> Sample:
    resident = next(row.split()[1] for row in STATUS.read_text().splitlines() if row.startswith("VmRSS"))
    return Sample(
        step, seconds, int(resident), len(list(DESCRIPTORS.iterdir())), len(list(THREADS.iterdir()))
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNEWELL_CACHE"] = f"{folder}/cache"
        samples = soak(Path(folder), asked.steps, asked.every)
    print(table(samples))
    course = line(samples)
    print(
        f"\nresident memory from step {samples[math.ceil(len(samples) * SETTLED)].step:,} on:"
        f" {course.per_thousand_steps:+.1f} ± {course.error:.1f} KiB per 1,000 steps"
        f" ({'flat' if course.is_flat else 'growing'}); {asked.steps / samples[-1].seconds:.0f} steps/s"
    )
    print(facts_of_the_machine())
    if asked.out is not None:
        asked.out.write_text(json.dumps([asdict(sample) for sample in samples]))


if __name__ == "__main__":
    main()

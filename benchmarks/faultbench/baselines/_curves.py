"""What several baselines read from records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.faultbench.outcome import Alarm
from tunewell.inspections import Inspected
from tunewell.records import Eval, Record, Started, Step

MOST = 100
"""Alarms kept of one code: they say nothing new."""


def steps(records: Sequence[Record]) -> list[Step]:
    return [one for one in records if isinstance(one, Step)]


def evaluations(records: Sequence[Record]) -> list[Eval]:
    return [one for one in records if isinstance(one, Eval) and one.split == "validation"]


def looks(records: Sequence[Record]) -> list[Inspected]:
    return [one for one in records if isinstance(one, Inspected)]


def started(records: Sequence[Record]) -> Started:
    return next(one for one in records if isinstance(one, Started))


def of_one_code(code: str, at: Iterable[int]) -> list[Alarm]:
    """Return an alarm for each step of `at`, the first `MOST` of them."""
    return [Alarm(step, code) for step, _ in zip(at, range(MOST), strict=False)]


def not_finite(records: Sequence[Record]) -> list[int]:
    """Return the updates whose loss or gradient norm was no finite number."""
    return [
        one.step
        for one in steps(records)
        if not (math.isfinite(one.loss) and math.isfinite(one.gradient_norm))
    ]

"""OLMo-core's step skipping: loss or gradient norm above mean + 6 σ of the last 128 updates, armed after 64.

Source: `SkipStepOptimizer` of OLMo-core (`rolling_interval_length=128`, `sigma_factor=6`); the rule asks loss and gradient norm.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.faultbench.baselines._curves import of_one_code, steps
from benchmarks.faultbench.outcome import Alarm
from tunewell.records import Record

WINDOW, ARMED, SIGMAS = 128, 64, 6


def alarms(records: Sequence[Record]) -> list[Alarm]:
    """Return the updates that it would skip."""
    losses = ((one.step, one.loss) for one in steps(records))
    norms = ((one.step, one.gradient_norm) for one in steps(records))
    return of_one_code("loss_spike", _outliers(losses)) + of_one_code("gradient_spike", _outliers(norms))


def _outliers(curve: Iterable[tuple[int, float]]) -> Iterator[int]:
    window: deque[float] = deque(maxlen=WINDOW)
    for step, value in curve:
        if len(window) >= ARMED:
            bound = statistics.fmean(window) + SIGMAS * statistics.stdev(window)
            if not value <= bound:
                yield step
        if math.isfinite(value):
            window.append(value)

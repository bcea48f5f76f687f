"""ZClip: a gradient norm whose z-score is above 2.5 against exponential means of norm and variance.

Source: "ZClip: Adaptive Spike Mitigation for LLM Pre-Training" (2025), its defaults: α 0.97, threshold 2.5, 25 updates of
warm-up. A clipped norm enters the means as the bound that it was clipped to.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from benchmarks.faultbench.baselines._curves import of_one_code, steps
from benchmarks.faultbench.outcome import Alarm
from tunewell.records import Record

ALPHA, THRESHOLD, WARMUP = 0.97, 2.5, 25


def alarms(records: Sequence[Record]) -> list[Alarm]:
    """Return the updates whose gradient it would clip."""
    return of_one_code("gradient_spike", _clipped(records))


def _clipped(records: Sequence[Record]) -> Iterator[int]:
    first: list[float] = []
    mean = variance = 0.0
    for one in steps(records):
        norm = one.gradient_norm
        if not math.isfinite(norm):
            yield one.step
            continue
        if len(first) < WARMUP:
            first.append(norm)
            mean, variance = statistics.fmean(first), statistics.pvariance(first)
            continue
        deviation = math.sqrt(variance) or 1e-6
        z = (norm - mean) / deviation
        if z > THRESHOLD:
            yield one.step
            norm = mean + THRESHOLD**2 / z * deviation
        variance = ALPHA * variance + (1 - ALPHA) * (norm - mean) ** 2
        mean = ALPHA * mean + (1 - ALPHA) * norm

"""What a trainer with early stopping and clipping tells its user.

Modelled on the transformers Trainer with its defaults but two: `logging_nan_inf_filter` off (on, it replaces what is not finite in
its log, and tells nothing), and `EarlyStoppingCallback` with a patience of 3 on the validation loss. A loss that is not a number
in the log, every 10 updates, counts as naming `non_finite`; an early stop as naming `overfitting`. Clipping tells nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.faultbench.baselines._curves import evaluations, of_one_code, steps
from benchmarks.faultbench.outcome import Alarm
from tunewell.records import Record

LOGGING_STEPS = 10
PATIENCE = 3


def alarms(records: Sequence[Record]) -> list[Alarm]:
    """Return what the trainer tells."""
    every = steps(records)
    logged = [every[i : i + LOGGING_STEPS] for i in range(0, len(every), LOGGING_STEPS)]
    broken = [part[-1].step for part in logged if not all(math.isfinite(one.loss) for one in part)]
    return of_one_code("non_finite", broken) + of_one_code("overfitting", _early_stop(records))


def _early_stop(records: Sequence[Record]) -> list[int]:
    best, without = math.inf, 0
    for one in evaluations(records):
        if one.loss < best:
            best, without = one.loss, 0
        else:
            without += 1
        if without == PATIENCE:
            return [one.step]
    return []

"""What was added to a run's curves since a client last heard of it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import pairwise
from typing import Any

from tunewell.records import Eval
from tunewell.runs.downsample import edges, ends, extremes
from tunewell.runs.live import LiveLog
from tunewell.web.series import began

_MOST = 2_000
_FIELDS = (
    "loss", "given", "learning_rate", "gradient_norm", "max_grad_norm", "rows", "seconds", "data_seconds", "skipped",
)  # fmt: skip


def new_points(log: LiveLog, known: int) -> dict[str, Any]:
    """Return the updates from index `known` on and the evaluations since, the updates thinned out where they are many."""
    columns = log.columns
    bounds = edges(known, len(columns), _MOST)
    begun = began(log)
    steps: dict[str, Any] = {
        "step": ends(columns["step"], bounds),
        "cursor": ends(columns["cursor"], bounds),
        "epoch": ends(columns["epoch"], bounds),
        "time": [round(one - begun, 3) for one in ends(columns["time"], bounds)],
        "tokens": ends(columns.total_tokens, bounds),
        "total": len(columns),
    }
    for name in _FIELDS:
        values: array[Any] = columns[name]
        made = extremes(values, bounds)
        if name not in {"given", "max_grad_norm"} or any(one is not None for one in made):
            steps[name] = made
    return {"steps": steps, "evals": new_evals(log, columns["step"][known] if known < len(columns) else 0)}


def new_evals(log: LiveLog, first_step: int) -> dict[str, list[list[float]]]:
    """Return the scores of evaluations from `first_step` on (and of the update before it), by curve."""
    evals = [one for one in log.records if isinstance(one, Eval)]
    first = bisect_left([one.step for one in evals], first_step - 1) if _is_sorted(evals) else 0
    found: dict[str, list[list[float]]] = {}
    for one in evals[first:]:
        for name, value in {"loss": one.loss, **one.metrics}.items():
            found.setdefault(f"eval.{one.split}.{name}", []).append([one.step, value])
    return found


def _is_sorted(evals: list[Eval]) -> bool:
    return all(one.step <= other.step for one, other in pairwise(evals))

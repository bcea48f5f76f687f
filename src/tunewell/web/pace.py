"""How fast a run goes, when it will be done, and what its learning rate will be."""

from __future__ import annotations

import statistics
from typing import Any

from tunewell.problems import InputError
from tunewell.records import Eval, StageBegan
from tunewell.runs.downsample import finite
from tunewell.runs.live import LiveLog
from tunewell.web.watched import WatchedRun

_RECENT = 200
_PLAN_POINTS = 100


def progress(log: LiveLog, total: int) -> float:
    """Return the share of all updates that is done."""
    steps = log.columns["step"]
    return min(1.0, steps[-1] / total) if total and steps else 0.0


def eta_seconds(log: LiveLog, total: int) -> float | None:
    """Return the seconds left: of updates as long as the recent ones, and as much evaluation in between as so far.

    The longest and shortest tenth of the updates count for nothing, so that a stall or a warm-up does not.
    """
    steps = log.columns["step"]
    left = total - steps[-1] if steps else 0
    if left <= 0 or len(steps) < 2:
        return None
    recent = sorted(log.columns["seconds"][-_RECENT:])
    trim = len(recent) // 10
    each = statistics.fmean(recent[trim : len(recent) - trim])
    evaluated = sum(one.seconds for one in log.records if isinstance(one, Eval) and one.step > 0)
    return left * (each + evaluated / max(1, log.steps_seen))


def rates(log: LiveLog) -> dict[str, float | None]:
    """Return what was reached over the last updates."""
    recent = log.columns["seconds"][-50:]
    seconds = sum(recent)
    if not seconds:
        return dict.fromkeys(("steps_per_second", "rows_per_second", "tokens_per_second", "learning_rate"))
    return {
        "steps_per_second": len(recent) / seconds,
        "rows_per_second": sum(log.columns["rows"][-50:]) / seconds,
        "tokens_per_second": sum(log.columns["tokens"][-50:]) / seconds,
        "learning_rate": finite(log.columns["learning_rate"][-1]),
    }


def planned_rates(run: WatchedRun) -> dict[str, Any]:
    """Return the learning rate now, and what it will be up to the end of the present stage if nobody changes it."""
    log = run.log
    stage = next((one for one in reversed(log.records) if isinstance(one, StageBegan)), None)
    if not len(log.columns):
        return {"learning_rate": None, "plan": []}
    now, step = finite(log.columns["learning_rate"][-1]), int(log.columns["step"][-1])
    plan = _plan(run, stage, step) if stage is not None and now is not None else []
    factor = now / plan[0][1] if plan and plan[0][1] and now is not None else None
    scaled = [[at, rate * factor] for at, rate in plan] if factor is not None else []
    return {"learning_rate": now, "plan": scaled}


def _plan(run: WatchedRun, stage: StageBegan, step: int) -> list[tuple[int, float]]:
    from tunewell import schedules
    from tunewell.document import load_recipe

    try:
        recipe = load_recipe(run.folder.recipe)
    except (InputError, OSError):
        return []
    own = recipe.stages[stage.stage] if recipe.stages and stage.stage < len(recipe.stages) else None
    length = stage.last_step - stage.first_step
    warmup = recipe.warmup_steps
    ratio = own.warmup_ratio if own is not None and own.warmup_ratio is not None else recipe.warmup_ratio
    warmup = (
        int(ratio * length)
        if warmup is None or (own and own.warmup_ratio is not None)
        else min(warmup, length - 1)
    )
    scheduler = (own.lr_scheduler if own else None) or recipe.lr_scheduler
    if step >= stage.last_step or length <= 0:
        return []
    first = max(step, stage.first_step + 1)
    count = min(_PLAN_POINTS, stage.last_step - first + 1)
    at = sorted({first + (stage.last_step - first) * number // max(1, count - 1) for number in range(count)})
    return [(one, schedules.factor(scheduler, one - 1 - stage.first_step, length, warmup)) for one in at]

"""The learning-rate range test (Smith 2017): the rate rises from update to update until the training breaks.

While it is too low the loss stays where it is, then it falls, steepest where learning is quickest, and at last it
rises: from there on updates destroy more than they teach. Nothing is kept but the curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from tunewell.problems import Problem, RecipeError
from tunewell.recipe import Recipe
from tunewell.training.loop import clip_and_step, gather_gradient, next_rows
from tunewell.training.setup import Prepared, begin
from tunewell.training.state import TrainState

UPDATES, FEWEST = 100, 30
"""That are made, and that show a course at all."""
ADAPTIVE = (1e-6, 0.3)
"""Rates from which to which the test goes, for optimizers whose steps don't grow with the gradient."""
PLAIN = (1e-4, 10.0)
"""The same for plain gradient descent."""
WIDTH = 0.12
"""Of the smoothing: decades of the rate, standard deviation of a Gaussian; centred, so that nothing is delayed."""
RISEN = 0.5
"""Share of what the loss fell by at which, gained back, the training counts as broken."""
BELOW_BREAK = 10.0
"""A peak rate stands this far below the rate that breaks a training: there all of it must go well, not one update."""
LEARNED = 0.1
"""Share of the first loss by which it must fall to call that learning; of the noise it must be three times as much."""
PATIENCE = 5
"""Updates in a row that must be broken."""


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A peak rate, and what it follows from; None: it can't be told, `reason` says why."""

    learning_rate: float | None
    reason: str
    steepest: float | None = None
    """Where the smoothed loss falls quickest."""
    lowest: float | None = None
    """Where the smoothed loss is lowest."""
    broken: float | None = None
    """From where on the training is broken; None: it never was."""


class RangeTest(msgspec.Struct, frozen=True, kw_only=True):
    """What a range test came to: (updates,) each, in the order of the rates."""

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: Suggestion
    asked: float
    """The recipe's own rate."""


def range_test(
    prepared: Prepared,
    *,
    updates: int = UPDATES,
    between: tuple[float, float],
    seen: Callable[[int, float, float], None] = lambda *_: None,
) -> RangeTest:
    """Return what the first stage of a prepared run makes of rates that rise from the first to the second `between`.

    `seen` is told of each update: its number from 1, the rate, the loss. Nothing is written anywhere.
    """
    stage = prepared.work.plan.stages[0]
    rates = np.geomspace(*between, updates)
    state = begin(prepared)
    losses: list[float] = []
    for number, rate in enumerate(rates.tolist(), 1):
        losses.append(_update(state, prepared, rate / stage.learning_rate))
        seen(number, rate, losses[-1])
        if _is_over(losses):
            break
    tried = rates[: len(losses)]
    smoothed = smooth(tried, losses)
    return RangeTest(
        rates=tried.tolist(),
        losses=losses,
        smoothed=smoothed.tolist(),
        suggestion=suggest(tried, losses),
        asked=stage.learning_rate,
    )


def range_between(
    recipe: Recipe, lowest: float | None, highest: float | None, *, updates: int = UPDATES
) -> tuple[float, float]:
    """Return the rates between which to test, those of the optimizer where None.

    Raises `RecipeError` for rates between which there is nothing to be tried, or too few `updates` to see a course.
    """
    usual = PLAIN if recipe.optimizer == "sgd" else ADAPTIVE
    low, high = lowest or usual[0], highest or usual[1]
    if not (0 < low < high and math.isfinite(high)):
        what, fix = (
            f"there are no rates from {low:g} to {high:g}",
            f"give --lowest {usual[0]:g} --highest {usual[1]:g}",
        )
        raise RecipeError(Problem("recipe", what, field="--lowest", fix=fix))
    if updates < FEWEST:
        what = f"{updates} updates show no course"
        raise RecipeError(Problem("recipe", what, field="--updates", fix=f"give {FEWEST} or more"))
    return low, high


def _update(state: TrainState, prepared: Prepared, factor: float) -> float:
    """Make one update at `factor` times the stage's peak rate, and return the mean loss before it."""
    rows = next_rows(state, prepared.work)
    gradient = gather_gradient(state, prepared.work, rows, lambda _: False)
    assert gradient is not None
    state.optimizers.set_rate(factor)
    clip_and_step(state)
    state.weights.publish()
    state.weights.clear_gradients()
    state.progress.step += 1
    state.adjustments.cursor += 1
    total = sum(float(loss.sum.detach()) for loss in gradient.losses)
    return total / float(gradient.count)


def _is_over(losses: Sequence[float]) -> bool:
    """Tell whether more updates would show nothing new: the loss is not finite, or far above where it was."""
    last = losses[-PATIENCE:]
    if not math.isfinite(last[-1]):
        return True
    start = float(np.median(losses[:10]))
    return len(losses) > 20 and min(last) > 2 * start


def smooth(rates: np.ndarray, losses: Sequence[float]) -> np.ndarray:
    """Return the (updates,) `losses` as a Gaussian mean over the logarithm of the rate."""
    places = np.log10(rates)
    values = np.asarray(losses, dtype=np.float64)
    finite = np.isfinite(values)
    weights = np.exp(-0.5 * ((places[:, None] - places[None, finite]) / WIDTH) ** 2)
    return np.asarray((weights @ values[finite]) / weights.sum(axis=1))


def suggest(rates: np.ndarray, losses: Sequence[float]) -> Suggestion:
    """Return the peak rate that a test's (updates,) `losses` at `rates` speak for.

    It is where the smoothed loss falls quickest (the steepest point on the scale of log rates), but no more than a
    tenth of the rate that breaks the training: an update that still gains something is no rate for all of them.
    """
    values = np.asarray(losses, dtype=np.float64)
    if len(values) < 10 or not np.isfinite(values[:5]).all():
        return Suggestion(learning_rate=None, reason="the loss is not finite from the start")
    smoothed, places = smooth(rates, losses), np.log10(rates)
    start, noise = float(np.median(values[:10])), _noise(values, smoothed)
    bottom = int(np.argmin(smoothed))
    fall = start - float(smoothed[bottom])
    if fall < max(LEARNED * abs(start), 3 * noise):
        reason = (
            "the loss fell at no rate: the batches differ more, or there is nothing to be learned so quickly"
        )
        return Suggestion(learning_rate=None, reason=reason)
    broken = _broken(values, smoothed, bottom, fall)
    breaks = None if broken is None else float(rates[broken])
    slope = np.gradient(smoothed, places)
    steepest = float(rates[int(np.argmin(slope[: bottom + 1]))])
    found = {"steepest": steepest, "lowest": float(rates[bottom]), "broken": breaks}
    if breaks is not None and breaks / BELOW_BREAK < steepest:
        reason = f"a tenth of {breaks:.2g}, from where on the loss rises"
        return Suggestion(learning_rate=_rounded(breaks / BELOW_BREAK), reason=reason, **found)
    reason = f"the loss falls quickest at {steepest:.2g}"
    reason += (
        f", well below {breaks:.2g} where it rises" if breaks else " and never rises up to the last rate"
    )
    return Suggestion(learning_rate=_rounded(steepest), reason=reason, **found)


def _broken(losses: np.ndarray, smoothed: np.ndarray, bottom: int, fall: float) -> int | None:
    """Return the first place behind the lowest one where much of what was gained is lost again for good, or None."""
    lost = smoothed >= smoothed[bottom] + RISEN * fall
    lost[: bottom + 1] = False
    lost |= ~np.isfinite(losses)
    return int(np.argmax(lost)) if lost.any() else None


def _noise(losses: np.ndarray, smoothed: np.ndarray) -> float:
    """Return the standard deviation of the loss about its course before anything was learned, by the MAD."""
    early = (losses - smoothed)[: max(10, len(losses) // 3)]
    early = early[np.isfinite(early)]
    return 1.4826 * float(np.median(np.abs(early - np.median(early))))


def _rounded(rate: float) -> float:
    """Return `rate` with one digit and a half, as people write rates: 1, 1.5, 2, 3, 5, 7 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rate))
    nearest = min((1, 1.5, 2, 3, 5, 7, 10), key=lambda digit: abs(math.log(digit * power / rate)))
    return float(f"{nearest * power:.2g}")

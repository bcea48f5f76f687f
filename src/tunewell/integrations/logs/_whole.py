"""What is plain in the whole of a curve: most logs hold too few entries for windows that count updates.

The monitors judge as a run goes on, by windows of 20 to 64 updates. A log is read when all is over, and often has ten
to sixty entries; so these look at all of it, at both sides of each entry, and ask for more than chance can give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from tunewell.monitors import Verdict
from tunewell.records import Eval, Finding, Record, Started, Step

_FEWEST = 10
"""Entries of which a curve's course can be told at all."""
_LEARNED = 0.3
"""Share of the first losses that must have been learned before it can be lost again."""
_LOST = 0.7
"""Share of it that must be gone, as the monitor `divergence` asks."""
_NEIGHBOURS = 5
"""Entries on each side of one that stands out."""
_TIMES = 5.0
"""What a spike is of the third-highest of its neighbours, as the monitor `loss_spike` asks."""
_ALONE = 1.5
"""What it is of every other entry: small batches have heavy tails."""
_MANY = 100
"""Entries from which on the monitors' own windows are long enough for spikes."""
_NEAR = 0.96
"""Share of guessing's loss above which nothing was learned, as the monitor `underfitting` asks."""


def judged(records: Sequence[Record]) -> dict[str, Finding | Verdict]:
    """Return by kind of fault what the whole curve shows of it; kinds of which it shows nothing are absent."""
    steps = [record for record in records if isinstance(record, Step) and math.isfinite(record.loss)]
    evals = [record for record in records if isinstance(record, Eval) and math.isfinite(record.loss)]
    started = next(record for record in records if isinstance(record, Started))
    if len(steps) < _FEWEST:
        return {}
    found: dict[str, Finding | Verdict] = {"divergence": _divergence(steps, evals, _span(records, steps[-1]))}
    spike = _spike(steps)
    if spike is not None:
        found["loss_spike"] = spike
    if started.num_classes > 1 and steps[-1].step >= 0.3 * started.total_steps:
        found["underfitting"] = _underfitting(steps, evals, math.log(started.num_classes))
    return found


def _span(records: Sequence[Record], last: Step) -> str:
    """Return in words how far the curve goes on which there are numbers."""
    goes_on = any(isinstance(record, Step) and record.step > last.step for record in records)
    return f"up to step {last.step}, the last with a number" if goes_on else "over all of the log"


def _divergence(steps: Sequence[Step], evals: Sequence[Eval], span: str) -> Finding | Verdict:
    """The last losses are all above all of the best ones, and most of what had been learned is gone.

    A block is a sixth of the entries, 4 at least: with a run's own best block picked out, full separation alone is
    no wonder, but losing 70 % of what was learned is no noise. The last evaluation must say the same.
    """
    losses = [step.loss for step in steps]
    size = max(4, len(losses) // 6)
    starts = range(len(losses) - 2 * size + 1)
    best = min(starts, key=lambda first: median(losses[first : first + size]))
    block, last = losses[best : best + size], losses[-size:]
    start, reached, now = median(losses[:size]), median(block), median(last)
    fine = Verdict("fine", f"checked and fine: {span}, the loss has not left its best level")
    if start - reached < _LEARNED * abs(start) or min(last) <= max(block):
        return fine
    if now - reached < _LOST * (start - reached):
        return fine
    lowest = min((one.loss for one in evals), default=None)
    if (
        lowest is not None
        and evals[-1].loss < lowest + 0.5 * (evals[0].loss - lowest)
        and evals[-1].loss <= 1.5 * lowest
    ):
        return fine
    onset = next(
        step
        for place, step in enumerate(steps[best + size :], start=best + size)
        if min(losses[place:]) > max(block)
    )
    return Finding(
        step=onset.step,
        monitor="divergence",
        code="divergence",
        severity="critical",
        summary=f"The loss had reached about {reached:.3g}, and from step {onset.step} on it stays near {now:.3g}.",
        meaning="The model lost what it had learned, and training on made it no better.",
        causes=[
            "learning rate too high",
            "gradients too large for the step",
            "bad or unlike rows from there on",
        ],
        advice=[
            f"go back to a checkpoint before step {onset.step} and take a half or a tenth of the learning rate",
            "clip gradients at norm 1, lengthen the warm-up",
        ],
        evidence={"onset": onset.step, "reached": reached, "now": now, "curve": _around(steps, onset)},
    )


def _spike(steps: Sequence[Step]) -> Finding | None:
    """One entry far above its neighbours on both sides, and above any other."""
    highest = sorted(step.loss for step in steps)[-2:]
    if len(steps) >= _MANY or highest[1] < _ALONE * highest[0]:
        return None
    scale = abs(median([step.loss for step in steps[: max(3, len(steps) // 6)]]))
    for place, step in enumerate(steps):
        before = [one.loss for one in steps[max(0, place - _NEIGHBOURS) : place]]
        after = [one.loss for one in steps[place + 1 : place + 1 + _NEIGHBOURS]]
        if len(before) < 3 or len(after) < 3:
            continue
        third = sorted([*before, *after])[-3]
        usual = median([*before, *after])
        if third <= 0 or step.loss < _TIMES * third or step.loss - usual < 0.5 * scale:
            continue
        return Finding(
            step=step.step,
            monitor="loss_spike",
            code="loss_spike",
            severity="warning",
            summary=(
                f"The loss logged at step {step.step} was {step.loss:.3g}, {step.loss / usual:.0f} times the usual "
                f"{usual:.3g} before and after it."
            ),
            meaning="Some batch there was far harder than the others, or a step was far too large.",
            causes=[
                "a bad or unlike row",
                "a wrong label or target",
                "learning rate too high, if it comes again",
            ],
            advice=[
                "look at the rows of that time",
                "clip gradients at norm 1, so that one batch moves little",
            ],
            evidence={"onset": step.step, "usual": usual, "curve": _around(steps, step)},
        )
    return None


def _underfitting(steps: Sequence[Step], evals: Sequence[Eval], guessing: float) -> Finding | Verdict:
    """The last third of the losses is at the level of guessing, and so is each evaluation beside them.

    A run that was better once and lost it again is the matter of `divergence`.
    """
    third = [step.loss for step in steps[-max(4, len(steps) // 3) :]]
    beside = [one for one in evals if one.step >= steps[-len(third)].step]
    mean = math.fsum(third) / len(third)
    error = math.sqrt(math.fsum((loss - mean) ** 2 for loss in third) / (len(third) - 1) / len(third))
    size = max(4, len(steps) // 6)
    blocks = (median([one.loss for one in steps[at : at + size]]) for at in range(len(steps) - size + 1))
    learned = min(blocks) < (1 - _LEARNED) * guessing or any(one.loss < _NEAR * guessing for one in beside)
    latest = median(third[-max(4, len(third) // 2) :])
    if learned or mean - 2 * error <= _NEAR * guessing or latest <= _NEAR * guessing:
        return Verdict("fine", "checked and fine: the model became better than guessing")
    step = steps[-1]
    return Finding(
        step=step.step,
        monitor="underfitting",
        code="underfitting",
        severity="warning",
        summary=(
            f"From step {steps[-len(third)].step} to {step.step} the mean loss is {mean:.3g}, no better than guessing "
            f"({guessing:.3g})."
        ),
        meaning="The model has learned nothing that tells the classes apart.",
        causes=[
            "learning rate too low",
            "learning rate too high",
            "labels that don't belong to their inputs",
        ],
        advice=[
            f"change the learning rate ten-fold (now {step.learning_rate:.2g})",
            "look at some rows with their labels",
            "watch the run with `tunewell.watch`, which tells a rate too low from one too high",
        ],
        evidence={
            "onset": max(1, steps[0].step),
            "now": mean,
            "guessing": guessing,
            "curve": _around(steps, step),
        },
    )


def _around(steps: Sequence[Step], step: Step) -> list[float]:
    """Return the piece of the curve around `step`, 10 entries before it and 9 after it."""
    place = steps.index(step)
    return [float(f"{one.loss:.4g}") for one in steps[max(0, place - 10) : place + 10]]

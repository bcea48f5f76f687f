"""What came of an incident: the measured effects of what was done, or else the loss before and after it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from tunewell.policies import kind_of
from tunewell.records import Effect, Eval, Record, Rewound, Step

_WINDOW = 20
"""Steps whose median stands for the loss at a moment."""
_FEW = 5
"""With fewer steps than this afterwards nothing can be said."""

_STAY = {"label_noise", "conflicting_labels", "class_imbalance"}
"""Faults of the rows, gone only where something was done that helped: a score that gains meanwhile says nothing of them."""

_NOT_LEARNING = {"underfitting", "learning_rate_too_low", "vanishing_gradient"}
"""Faults under which the loss was no good before either: it must fall, not only be what it was."""
_FALLEN = 0.05
"""Share by which it must have fallen."""


class Aftermath(msgspec.Struct, frozen=True):
    """What a measure was before and after, whether things are well again (None: it can't be told), and it in words."""

    before: float | None = None
    after: float | None = None
    recovered: bool | None = None
    text: str = ""


def aftermath(
    code: str, effects: Sequence[Effect], log: Sequence[Record], first: int, last: int, end: int
) -> Aftermath:
    """Return what came of an incident of root cause `code` that stands in ``log[first:last + 1]``.

    `end` is the place of the next incident. The last effect that could be told counts.
    """
    told = [effect for effect in effects if effect.helped is not None]
    if told:
        return Aftermath(told[-1].before, told[-1].after, told[-1].helped, told[-1].text)
    if code in _STAY:
        text = effects[-1].text if effects else "Nothing that was measured says that it is gone."
        return Aftermath(text=text)
    match kind_of(code):
        case "loss" | "bad":
            found = _by_loss(log, first, last, end, must_fall=code in _NOT_LEARNING)
        case "score":
            found = _by_evaluations(log[:first], log[last:])
        case _:
            found = Aftermath()
    if effects and found.recovered is None:
        return Aftermath(effects[-1].before, effects[-1].after, None, effects[-1].text)
    return found


def _by_loss(log: Sequence[Record], first: int, last: int, end: int, *, must_fall: bool) -> Aftermath:
    back = [record.to_step for record in log[first:end] if isinstance(record, Rewound)]
    to_step = min(back, default=None)
    earlier = [step.loss for step in _measured(log[:first]) if to_step is None or step.step <= to_step]
    later = [step.loss for step in _measured(log[last:end])]
    if not earlier:
        return Aftermath(text="Nothing sound was measured before it to compare with.")
    starts = range(max(0, len(earlier) - 3 * _WINDOW), len(earlier), _WINDOW)
    blocks = [earlier[i : i + _WINDOW] for i in starts]
    usual = min((block for block in blocks if len(block) >= _FEW), key=statistics.median, default=earlier)
    before = statistics.median(usual)
    if len(later) < _FEW:
        few = f"Too few steps followed to tell whether it recovered (loss before: {before:.4g})."
        return Aftermath(before, text=few)
    after = statistics.median(later[-_WINDOW:])
    spread = 1.4826 * statistics.median(abs(loss - before) for loss in usual)
    margin = max((_FALLEN if must_fall else 0.1) * abs(before), 2 * spread)
    recovered = after <= before - margin if must_fall else after <= before + margin
    verdict = "Training recovered" if recovered else "Training did not recover"
    text = f"{verdict}: the loss was {before:.4g} before and {after:.4g} afterwards."
    return Aftermath(before, after, recovered, text)


def _by_evaluations(before: Sequence[Record], after: Sequence[Record]) -> Aftermath:
    earlier, later = (
        [r for r in part if isinstance(r, Eval) and r.split == "validation"] for part in (before, after)
    )
    best = min(earlier, key=lambda record: record.loss, default=None)
    if best is None or not later:
        return Aftermath(best.loss if best else None, text="No evaluation followed.")
    lowest = min(record.loss for record in later)
    improved = lowest < 0.98 * best.loss  # less is the noise of an evaluation
    came = "fell further afterwards" if improved else "did not come below that again"
    text = (
        f"The validation loss had been {best.loss:.4g} at best (step {best.step:,}); it {came}: {lowest:.4g}."
    )
    return Aftermath(best.loss, lowest, improved, text)


def _measured(part: Sequence[Record]) -> list[Step]:
    return [r for r in part if isinstance(r, Step) and not r.skipped and math.isfinite(r.loss)]

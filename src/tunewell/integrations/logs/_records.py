"""Moments of another tool's log → the records that Tunewell's own runs are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from tunewell.integrations.logs._log import ForeignLog
from tunewell.integrations.logs._moments import Moment, Moments
from tunewell.records import Ended, Eval, Record, Rewound, Started, Step

_SHARES = {"accuracy", "exact_match"}
"""Scores that are a share of the rows."""
_MOST_ROWS = 20_000
_CLEAR = 0.1
"""A training loss from which none falls to exactly 0 within one entry."""


def records_of(log: ForeignLog, found: Moments) -> tuple[list[Record], list[str]]:
    """Return the records of a run as far as its log tells them, and what was guessed for it, in sentences.

    What the log does not tell is 0 or empty in them, so that rules which need it must be left out.
    """
    moments, notes = found.moments, list[str]()
    _count_rows(moments)
    if log.filtered:
        notes += _unfilter(moments)
    notes += _of_entries(log, moments)
    loss_of = "loss" if any("loss" in moment.values for moment in moments) else "epoch_loss"
    survived = max((place for place, moment in enumerate(moments) if _is_sound(moment, loss_of)), default=-1)
    overflows = [
        moment.step
        for moment in moments[:survived]
        if math.isfinite(moment.values.get(loss_of, math.nan))
        and not math.isfinite(moment.values.get("gradient_norm", 0.0))
    ]
    if overflows:
        notes.append(
            f"The gradient overflowed (first at step {overflows[0]:,}) and training went on: read as half precision "
            "with a loss scale, which leaves such updates out."
        )
    records: list[Record] = [_started(log, moments, scaled=bool(overflows))]
    before, rate, since = 0, 0.0, list[float]()
    for place, moment in enumerate(moments):
        if moment.step < before:
            records.append(
                Rewound(step=before, to_step=moment.step - 1, commit=0, reason="resume", exact=False)
            )
            since = []
        before = moment.step
        rate = moment.values.get("learning_rate", rate)
        if (loss := moment.values.get(loss_of)) is not None:
            since += [loss] if math.isfinite(loss) else []
            records.append(_update(moment, loss, rate, alive=place < survived))
        if "validation_loss" in moment.values:
            records.append(_evaluation(moment, since))
            since = []
    if log.total_steps and before >= log.total_steps:
        records.append(Ended(step=before, status="completed", reason="all steps are done"))
    return records, notes


def _of_entries(log: ForeignLog, moments: Sequence[Moment]) -> list[str]:
    """Return what has to be known where an entry stands for several updates."""
    steps = [moment.step for moment in moments if "loss" in moment.values]
    gaps = [later - earlier for earlier, later in pairwise(steps) if later > earlier]
    every = median(gaps) if gaps else 1
    if every < 2:
        return []
    holds = (
        "the mean loss of the updates since the one before" if log.averaged else "what was measured just then"
    )
    note = f"The log has an entry every {every:.0f} steps or so, with {holds}: an update below is an entry."
    if log.filtered:
        note += " By default the Trainer leaves losses that are not finite out of that mean, so that a single one hides."
    return [note]


def _unfilter(moments: Sequence[Moment]) -> list[str]:
    """Put NaN where the Trainer logged a loss of 0 in place of one; return what was done in a sentence.

    It leaves out losses that are not finite, and a mean over none is logged as 0. A loss of exactly 0 is one of those
    if the gradient beside it is not finite, or if it follows upon losses far from 0 and none other comes after it.
    """
    losses = [moment for moment in moments if "loss" in moment.values]
    last = max((place for place, moment in enumerate(losses) if moment.values["loss"] != 0.0), default=-1)
    usual = median([moment.values["loss"] for moment in losses[max(0, last - 4) : last + 1]] or [0.0])
    hidden = [
        moment
        for place, moment in enumerate(losses)
        if moment.values["loss"] == 0.0
        and (
            not math.isfinite(moment.values.get("gradient_norm", 0.0))
            or (place > last and usual > _CLEAR and not moment.values.get("gradient_norm"))
        )
    ]
    for moment in hidden:
        moment.values["loss"] = math.nan
    first = next((one for one in losses if not math.isfinite(one.values.get("gradient_norm", 0.0))), None)
    notes = []
    if first is not None and math.isfinite(first.values["loss"]):
        notes.append(
            f"The loss at step {first.step:,}, {first.values['loss']:.3g}, is the Trainer's mean without the losses that were "
            "not finite, of which there may be some: the gradient was not."
        )
    if not hidden:
        return notes
    times = "once" if len(hidden) == 1 else f"{len(hidden):,} times"
    return [
        *notes,
        f"The Trainer logged a loss of 0.0 {times} (first at step {hidden[0].step:,}) though none was finite: read as "
        "NaN. Set `logging_nan_inf_filter=False` to have it log what it measured.",
    ]


def _count_rows(moments: Sequence[Moment]) -> None:
    """Give moments whose validation rows are not known the least number that their accuracies are shares of.

    That is a divisor of the real number at worst, so that chance is thought to move a score more than it does.
    """
    shares = [value for moment in moments for name, value in moment.scores.items() if name in _SHARES]
    if len(shares) < 2 or any(moment.rows for moment in moments) or not all(0 <= one <= 1 for one in shares):
        return
    digits = max(len(repr(one).partition(".")[2]) for one in shares)
    tolerance = 0.51 * 10.0**-digits if digits < 6 else 1e-6
    for rows in range(2, min(_MOST_ROWS, int(0.1 / tolerance))):
        if all(abs(one * rows - round(one * rows)) <= tolerance * rows for one in shares):
            for moment in moments:
                moment.rows = rows
            return


def _is_sound(moment: Moment, loss_of: str) -> bool:
    values = moment.values
    return math.isfinite(values.get(loss_of, math.nan)) and math.isfinite(values.get("gradient_norm", 0.0))


def _started(log: ForeignLog, moments: Sequence[Moment], *, scaled: bool) -> Started:
    last = max((moment.step for moment in moments), default=0)
    paces = [moment.step / epoch for moment in moments if (epoch := moment.values.get("epoch", 0.0)) > 0]
    validation = max((moment.rows for moment in moments), default=0)
    return Started(
        run="/".join(log.file.resolve().parts[-2:]),
        recipe_hash="",
        data_hash="",
        fingerprint={"tool": log.tool} | ({"precision": "fp16"} if scaled else {}),
        total_steps=max(last, log.total_steps),
        batches_per_epoch=round(median(paces)) if paces else last,
        num_rows={"validation": validation} if validation else {},
        trainable_parameters=0,
        total_parameters=0,
        num_classes=log.num_classes,
    )


def _update(moment: Moment, loss: float, rate: float, *, alive: bool) -> Step:
    norm = moment.values.get("gradient_norm", 0.0)
    return Step(
        step=moment.step,
        cursor=moment.step,
        epoch=moment.values.get("epoch", 0.0),
        stage=0,
        loss=loss,
        learning_rate=rate,
        gradient_norm=norm,
        skipped=alive and not (math.isfinite(loss) and math.isfinite(norm)),  # or nothing sound would follow
        rows=0,
        tokens=0,
        seconds=0.0,
    )


def _evaluation(moment: Moment, since: Sequence[float]) -> Eval:
    train_loss = moment.values.get("epoch_loss", fmean(since) if since else math.nan)
    return Eval(
        step=moment.step,
        epoch=moment.values.get("epoch", 0.0),
        split="validation",
        loss=moment.values["validation_loss"],
        metrics=moment.scores,
        rows=moment.rows,
        seconds=0.0,
        train_loss=train_loss if math.isfinite(train_loss) else None,
    )

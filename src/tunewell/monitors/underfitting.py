"""Well into a stage, the model is still no better than guessing."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import curve, is_usable, mean, median, standard_error
from tunewell.records import Finding, Record, StageBegan, Started, Step

_EVERY = 4
"""Updates between two looks at the curve, which moves no faster."""


class Underfitting(msgspec.Struct, frozen=True, kw_only=True):
    """After warm-up and a good share of the stage, the loss is still that of guessing, and does not fall.

    What guessing costs is known for single-label tasks, so that no curve of "usual" learning is needed. Nothing is
    said while the rate still warms up, while the loss falls, or if an evaluation has shown that the model learns
    (label smoothing and mixed inputs keep a training loss high), or before a few rows of each class have passed: batches
    of two rows need more updates. With classes of unequal size, a model that only
    tells their shares has a loss near their entropy: that is guessing too, if its accuracy is the largest class's.
    """

    share: Annotated[float, Meta(gt=0, lt=1)] = 0.3
    """Share of the stage's updates, after warm-up, that it is given."""
    least: Annotated[int, Meta(ge=32)] = 60
    """Updates after warm-up that it is given at least."""
    near: Annotated[float, Meta(gt=0, lt=1)] = 0.96
    """Share of guessing's loss above which nothing was learned."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = ()

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "updates": [], "judged": False, "told": False, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made, once the stage had its chance."""
        learning = _learning.follow(state["learning"], record)
        state = {**state, "learning": learning}
        if isinstance(record, Started | StageBegan):
            return {**state, "told": False}, []
        if not isinstance(record, Step) or record.skipped or not is_usable(record.loss):
            return state, []
        if record.layer_updates:
            ratio = median([*record.layer_updates.values()])
            if is_usable(ratio):
                state = {**state, "updates": [*state["updates"], ratio][-5:]}
        if state["told"] or record.step % _EVERY or not self._had_its_chance(learning):
            return state, []
        state = {**state, "judged": True}
        if not self._is_guessing(learning):
            return state, []
        finding = self._finding(state, record)
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["judged"] else "too few updates after warm-up"
        if _learning.guessing(state["learning"]) is None:
            blind = "what guessing would cost is not known for this task"
        return judged(state, blind=blind, fine="the model became better than guessing")

    def _had_its_chance(self, learning: State) -> bool:
        is_long = len(learning["losses"]) == _learning.KEPT
        return is_long and _learning.had_its_chance(learning, share=self.share, least=self.least)

    def _is_guessing(self, learning: State) -> bool:
        never = _learning.guessing(learning) is not None and _learning.never_learned(learning)
        losses = learning["losses"]
        half = len(losses) // 2
        earlier, later = losses[:half], losses[half:]
        if not never and not _tells_only_shares(learning, mean(later)):
            return False
        noise = math.hypot(standard_error(earlier), standard_error(later))
        if mean(earlier) - mean(later) > 2 * noise:
            return False
        chance = _learning.guessing(learning) or 0.0
        surely = mean(later) - 2 * standard_error(later)
        return not never or surely > self.near * chance or mean(later) > chance

    def _finding(self, state: State, step: Step) -> Finding:
        learning = state["learning"]
        now = mean(learning["losses"][_learning.KEPT // 2 :])
        chance = _learning.start(learning) if _learning.never_learned(learning) else learning["entropy"]
        is_small = bool(state["updates"]) and max(state["updates"]) < 1e-5
        too_low, too_high = "learning rate too low", "learning rate too high"
        rate = [too_low] if is_small else [too_high, too_low]
        advice = "raise" if is_small else "change"
        moved = (
            f"; layers move by {max(state['updates']):.1e} of their size an update"
            if state["updates"]
            else ""
        )
        return Finding(
            step=step.step,
            cursor=step.cursor,
            monitor="underfitting",
            code="underfitting",
            severity="warning",
            summary=f"At step {step.step} the mean loss is {now:.3g}, no better than guessing ({chance:.3g}){moved}.",
            meaning="The model has learned nothing yet that tells the classes apart, and its loss does not fall.",
            causes=[*rate, "labels that don't belong to their texts", "too few trainable layers"],
            advice=[
                f"{advice} `learning_rate` ten-fold (now {step.learning_rate:.2g}); 2e-5 to 3e-4 suits most encoders",
                "look at some rows with their labels",
                "train more layers: see `stages`",
            ],
            evidence={
                "lasting": True,
                "onset": learning["phase"]["first"],
                "now": now,
                "guessing": chance,
                "entropy": learning["entropy"],
                "learning_rate": step.learning_rate,
                "update_ratios": state["updates"],
                "curve": curve(learning["losses"]),
            },
        )


def _tells_only_shares(learning: State, now: float) -> bool:
    entropy, accuracy, majority = learning["entropy"], learning["accuracy"], learning["majority"]
    if None in (entropy, accuracy, majority, learning["uniform"]) or entropy > 0.9 * learning["uniform"]:
        return False
    return bool(abs(now - entropy) < 0.1 * entropy and accuracy <= majority + 0.005)

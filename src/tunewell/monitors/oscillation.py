"""A loss that swings and gets nowhere."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import curve, is_usable, mean, standard_error
from tunewell.records import Finding, Record, Step


class Oscillation(msgspec.Struct, frozen=True, kw_only=True):
    """Losses swing far more than batches differ by chance, and the run is worse than it was: steps overshoot.

    The last 64 losses are looked at in blocks. If losses were independent, means of neighbouring blocks would differ
    by their standard errors; a swing is a difference beyond three of them (for single updates: a correlation of
    neighbours below -0.5, which is four standard errors from none). TheDeepChecker counts sign changes in half of 50
    updates, which plain noise exceeds: differences of independent numbers change sign two times of three.

    Swings alone are no fault: batches by length and mixed sources swing, and so does a run that has converged. Harm is
    that the swings throw away much of what had been learned, and that the level is surely above the best before.
    """

    swings: Annotated[int, Meta(ge=2)] = 3
    """Turns between blocks, up and down, that no chance explains."""
    block: Annotated[int, Meta(ge=2)] = 8
    """Updates of a block."""
    correlation: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """How strongly neighbouring losses must be opposed for swings from update to update."""
    lost: Annotated[float, Meta(gt=0)] = 0.4
    """Share of what had been learned that a swing throws away."""
    harm: Annotated[float, Meta(gt=0)] = 0.1
    """The same as a share of guessing's loss."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = ("loss_spike", "underfitting")

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge every eighth update."""
        learning = _learning.follow(state["learning"], record)
        state = {**state, "learning": learning}
        if not isinstance(record, Step) or record.step % self.block or not is_usable(record.loss):
            return state, []
        finding = self._judge(learning, record)
        return (state, []) if finding is None else ({**state, "seen": finding.summary}, [finding])

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        enough = len(state["learning"]["losses"]) >= _learning.KEPT
        blind = "" if enough else f"fewer than {_learning.KEPT} updates in this stage"
        return judged(state, blind=blind, fine="the loss did not swing beyond its noise and its best level")

    def _judge(self, learning: State, step: Step) -> Finding | None:
        losses, level = learning["losses"], learning["level"]
        if len(losses) < _learning.KEPT or level is None:
            return None
        now, scale = mean(losses), _learning.scale(learning) or level
        if now - level < self.harm / 2 * scale or now - level < 3 * standard_error(losses):
            return None  # as good as it ever was
        blocks = [losses[at : at + self.block] for at in range(0, len(losses), self.block)]
        turns, crest, trough = self._turns(blocks)
        opposed = -_neighbours(losses)
        if opposed > self.correlation:
            deviation = standard_error(losses) * math.sqrt(len(losses))
            crest, trough, turns = now + deviation, now - deviation, len(losses) // 2
        if turns < self.swings or crest - trough < self.harm * scale:
            return None
        if _learning.lost(learning, trough, crest) < self.lost:
            return None
        return _finding(step, losses, crest, trough, level)

    def _turns(self, blocks: list[list[float]]) -> tuple[int, float, float]:
        """Return how often the means of blocks turn by more than chance, and the levels between which they swing."""
        means = [mean(block) for block in blocks]
        noise = [standard_error(block) for block in blocks]
        turns, direction, at = 0, 0, 0
        for place in range(1, len(means)):
            change = means[place] - means[at]
            if abs(change) > 3 * math.hypot(noise[place], noise[at]):
                turns += direction != 0 and (change > 0) != (direction > 0)
                direction, at = (1 if change > 0 else -1), place
            elif direction and (change > 0) == (direction > 0):
                at = place  # further the same way
        ordered = sorted(means)
        return turns, ordered[-2], ordered[1]


def _neighbours(losses: list[float]) -> float:
    """Return the correlation of each loss with the next."""
    middle = mean(losses)
    apart = [loss - middle for loss in losses]
    whole = math.fsum(one * one for one in apart)
    return math.fsum(one * other for one, other in pairwise(apart)) / whole if whole else 0.0


def _finding(step: Step, losses: list[float], crest: float, trough: float, level: float) -> Finding:
    onset = max(1, step.step - len(losses) + 1)
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="oscillation",
        code="oscillation",
        severity="warning",
        summary=f"Since step {onset} the loss swings between {trough:.3g} and {crest:.3g}; it had been {level:.3g}.",
        meaning="Each update overshoots and the next ones come back: the run moves a lot and gets nowhere.",
        causes=["learning rate too high", "too few rows in an update", "momentum too high for this rate"],
        advice=[
            f"lower `learning_rate` (now {step.learning_rate:.2g}) to a third or less",
            "raise `batch_size` or `gradient_accumulation_steps`",
        ],
        evidence={
            "onset": onset,
            "crest": crest,
            "trough": trough,
            "level": level,
            "learning_rate": step.learning_rate,
            "curve": curve(losses),
        },
    )

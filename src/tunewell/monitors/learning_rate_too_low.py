"""Steps so small that the run can't get anywhere."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors import _guess, _phase, _progress
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import curve, mean, median
from tunewell.records import Finding, Record, StageBegan, Started, Step


class LearningRateTooLow(msgspec.Struct, frozen=True, kw_only=True):
    """The weights can't move far enough in the updates that the run has, and the loss does not fall as it should.

    The middle layer's ‖Δθ‖/‖θ‖ times the length of the run is the furthest that the weights can get, were all
    updates to point the same way; usual runs come to many times their size, careful fine-tuning (1e-5, Adam) to a
    tenth. Under 3 % hardly anything can be learned, if the ratio is also below TheDeepChecker's bound of 1e-4.
    DeepDiagnosis' bound of 1e-5 counts however long the run. The largest ratio since the rate stopped rising is taken, so that neither the end of a
    schedule nor a converged run is meant.

    Harm is asked for too: at its pace the whole run would take less than a tenth off the loss. A loss near zero is fine.
    """

    update_ratio: Annotated[float, Meta(gt=0)] = 1e-5
    """‖Δθ‖/‖θ‖ of the middle layer that is always too small."""
    distance: Annotated[float, Meta(gt=0)] = 0.03
    """Ratio times updates of the run, up to which it is too small in a short run."""
    most: Annotated[float, Meta(gt=0)] = 1e-4
    """Ratio beyond which it is not too small, however short the run."""
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.15
    """Share of the run's updates, after warm-up, that it is given."""
    least: Annotated[int, Meta(ge=32)] = 40
    """Updates that it is given at least; one of a warm-up counts for half."""
    gain: Annotated[float, Meta(gt=0)] = 0.1
    """Share of the first losses that the run must promise to take off."""
    converged: Annotated[float, Meta(gt=0)] = 0.05
    """Loss beside that of guessing (or 1 where that is not known) that leaves nothing to learn."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Step, Inspected)
    explains: ClassVar[tuple[str, ...]] = ("underfitting", "plateau", "cannot_fit_a_batch")

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "phase": _phase.init(), "progress": _progress.init(), "classes": 0, "guessing": 1.0, "ratios": [], "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the run once it had its chance."""
        if isinstance(record, Inspected):
            return {**state, "guessing": _guess.of(record, state["classes"]) or state["guessing"]}, []
        phase = _phase.follow(state["phase"], record)
        state = {**state, "phase": phase, "progress": _progress.follow(state["progress"], record)}
        if isinstance(record, Started):
            known = math.log(record.num_classes) if record.num_classes > 1 else 1.0
            state = {**state, "classes": record.num_classes, "guessing": known}
        if isinstance(record, Started | StageBegan):
            return {**state, "ratios": []}, []
        if not isinstance(record, Step) or record.skipped:
            return state, []
        if record.layer_updates and phase["past_warmup"] > 2:
            ratio = median([*record.layer_updates.values()])
            if math.isfinite(ratio):
                state = {**state, "ratios": [*state["ratios"], ratio][-50:]}
        if not record.layer_updates or not self._had_its_chance(state) or not self._is_too_low(state):
            return state, []
        finding = _finding(state, record)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if self._had_its_chance(state) else "too few updates after warm-up"
        if not state["ratios"]:
            blind = "updates were not measured by layer (`probe_steps`)"
        largest = max(state["ratios"], default=0.0)
        return judged(state, blind=blind, fine=f"layers move by up to {largest:.1e} of their size an update")

    def _had_its_chance(self, state: State) -> bool:
        phase = state["phase"]
        needed = max(self.least, math.ceil(self.share * (phase["last"] - phase["first"] + 1)))
        # A warm-up's updates count for what they move: half.
        full = phase["past_warmup"] + (phase["updates"] - phase["past_warmup"]) / 2
        enough = phase["past_warmup"] > 2 and full >= needed and _progress.is_known(state["progress"])
        return bool(enough and len(state["ratios"]) >= 2)

    def _is_too_low(self, state: State) -> bool:
        phase, progress = state["phase"], state["progress"]
        length = phase["last"] - phase["first"] + 1
        short = min(self.most, self.distance / length) if length > 0 else 0.0
        if max(state["ratios"]) >= max(self.update_ratio, short):
            return False
        now = mean(progress["recent"])
        if abs(now) < self.converged * state["guessing"]:
            return False
        fallen, error = _progress.fall(progress)
        if length <= 0:
            return fallen < max(2 * error, 0.01 * abs(now))
        pace = (fallen - error) / max(1, progress["updates"] - _progress.WINDOW)
        end = now - pace * max(0, length - progress["updates"])
        beginning = mean(progress["first"])
        if state["classes"] > 1:  # what brings a fresh head's sure answers down to guessing is no learning
            beginning = min(beginning, state["guessing"])
        return bool(end > beginning - self.gain * abs(beginning))


def _finding(state: State, step: Step) -> Finding:
    ratio, progress = max(state["ratios"]), state["progress"]
    factor = 1e-3 / max(ratio, 1e-12)
    return Finding(
        step=step.step,
        cursor=step.cursor,
        monitor="learning_rate_too_low",
        code="learning_rate_too_low",
        severity="warning",
        summary=(
            f"Layers move by {ratio:.1e} of their size an update, and the mean loss went from "
            f"{mean(progress['first']):.4g} to {mean(progress['recent']):.4g} in {progress['updates']} updates."
        ),
        meaning="At this pace the run ends where it began.",
        causes=["learning rate too low", "gradients that something scales down"],
        advice=[
            f"raise `learning_rate` (now {step.learning_rate:.2g}); {factor:.1g} times as much would bring updates to "
            "the usual 1e-3"
        ],
        evidence={
            "onset": max(1, state["phase"]["first"]),
            "update_ratio": ratio,
            "update_ratios": state["ratios"],
            "factor": factor,
            "learning_rate": step.learning_rate,
            "curve": curve(progress["recent"]),
        },
    )

"""Targets that stand one place, or one class, from where they belong."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataCheck, DataChecked
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import median
from tunewell.records import Eval, Finding, Record, Started, Step


class ShiftedLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Targets that would fit clearly better if they were moved by one: row, class or token.

    Three ways to see it. Of the rows: a simple model is cross-validated with the targets as they are and moved by one row; of
    the classes: it is tried on validation rows with its answers moved by one class. Only a clear win names the fault: six
    standard errors and most of what there is above guessing. Of the run: its training loss is far below that of guessing
    while validation rows of each class are consistently told to be one other class. Of token sequences: targets must be
    the inputs themselves (a model that moves them) or the inputs one place further (a loop that does); any other
    place or row is an error, and so is a loss near zero within the first updates where they were not moved.
    """

    errors: Annotated[float, Meta(gt=0)] = 6.0
    """Standard errors by which the moved targets must win."""
    learned: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    """Training loss beside guessing from which the run has learned something."""
    consistent: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Share of validation rows told to be their class's one other class."""

    reads: ClassVar[tuple[type, ...]] = (Started, DataChecked, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = (
        "overfitting", "label_noise", "inputs_unrelated", "underfitting", "plateau", "learning_rate_too_low",
        "divergence", "overtraining", "conflicting_labels",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "guessing": None,
            "recent": [],
            "offset": None,
            "updates": 0,
            "looked": False,
            "told": False,
            "seen": "",
        }

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the rows before the first update, and each evaluation."""
        match record:
            case Started():
                guessing = math.log(record.num_classes) if record.num_classes > 1 else None
                return {**self.init(), "guessing": guessing, "seen": state["seen"]}, []
            case DataChecked() if not state["told"]:
                return self._checked(state, record)
            case Step() if math.isfinite(record.loss) and not state["told"]:
                state = {
                    **state,
                    "recent": [*state["recent"], record.loss][-16:],
                    "updates": state["updates"] + 1,
                }
                return self._copied(state, record)
            case Eval() if record.split == "validation" and record.confusion and not state["told"]:
                return self._evaluated(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looked"] else "neither rows nor which classes are taken for which were looked at"
        return judged(state, blind=blind, fine="targets fit best where they stand")

    def _checked(self, state: State, record: DataChecked) -> tuple[State, list[Finding]]:
        step = max(1, record.step)
        alignment, signal = record.checks.get("alignment"), record.checks.get("signal")
        if alignment is not None and alignment.numbers.get("share", 0.0) >= 0.9 > alignment.numbers["next"]:
            state = {**state, "looked": True, "offset": alignment.numbers["offset"]}
            if state["offset"] not in (0, 1):
                return _told(state, step, _misaligned(alignment), dict(alignment.numbers))
        if alignment is not None and alignment.numbers.get("shifted", 0.0) >= 0.9:
            return _told(state, step, _of_neighbours(alignment), dict(alignment.numbers))
        if signal is None or "accuracy" not in signal.numbers:
            return state, []
        state = {**state, "looked": True}
        told = self._by_row(signal) or self._by_class(signal)
        return _told(state, step, told, dict(signal.numbers)) if told else (state, [])

    def _by_row(self, signal: DataCheck) -> str:
        numbers = signal.numbers
        there, moved = numbers["accuracy"], numbers["shifted_accuracy"]
        chance, error = numbers["chance"], max(1e-6, numbers["standard_error"])
        if moved - max(there, chance) < self.errors * error or there - chance > 0.5 * (moved - chance):
            return ""
        where = "before" if numbers["shifted_by"] < 0 else "after"
        return (
            f"A simple model tells the targets with a score of {moved:.3g} if each belongs to the row {where} it is taken "
            f"from, and {there:.3g} as they stand; guessing has {chance:.3g}."
        )

    def _by_class(self, signal: DataCheck) -> str:
        numbers = signal.numbers
        there, moved = numbers.get("held_out_accuracy", 1.0), numbers.get("class_shifted_accuracy", 0.0)
        error = 0.5 / math.sqrt(max(1.0, numbers.get("held_out_rows", 1.0)))
        if moved < self.consistent or moved - there < self.errors * error:
            return ""
        return (
            f"A simple model of the training rows is right on {there:.0%} of the validation rows, and on {moved:.0%} "
            f"if its answers are moved by one class."
        )

    def _copied(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        """Judge token targets that nobody moved: a model that only has to copy does so within an epoch."""
        if state["offset"] != 0 or state["updates"] > 300 or len(state["recent"]) < 16:
            return state, []
        loss = median(state["recent"])
        if loss > 0.05:
            return state, []
        told = f"After {step.step} updates the loss is {loss:.2g}: targets are the tokens at their own place, which need only be copied."
        return _told(state, step.step, told, {"loss": loss})

    def _evaluated(self, state: State, record: Eval) -> tuple[State, list[Finding]]:
        confusion = record.confusion or []
        total = sum(map(sum, confusion))
        if total < 20 or state["guessing"] is None or len(state["recent"]) < 4:
            return state, []
        state = {**state, "looked": True}
        if median(state["recent"]) > self.learned * state["guessing"]:
            return state, []
        right = sum(row[k] for k, row in enumerate(confusion)) / total
        taken = {
            k: max((j for j in range(len(row)) if j != k), key=row.__getitem__)
            for k, row in enumerate(confusion)
            if sum(row)
        }
        moved = sum(confusion[k][j] for k, j in taken.items()) / total
        one_to_one = len(set(taken.values())) >= 0.8 * len(taken)
        error = 0.5 / math.sqrt(total)
        if moved < self.consistent or moved - right < self.errors * error or not one_to_one:
            return state, []
        names = (
            list(record.recalls)
            if len(record.recalls) == len(confusion)
            else [str(k) for k in range(len(confusion))]
        )
        shown = ", ".join(f"`{names[k]}` as `{names[j]}`" for k, j in list(taken.items())[:3])
        told = (
            f"The training loss is {median(state['recent']):.3g}, but {moved:.0%} of the validation rows are told to be one "
            f"certain other class ({shown}), and {right:.0%} are right."
        )
        return _told(
            state,
            record.step,
            told,
            {"moved": moved, "right": right, "taken_for": {names[k]: names[j] for k, j in taken.items()}},
        )


def _misaligned(alignment: DataCheck) -> str:
    offset, share = round(alignment.numbers["offset"]), alignment.numbers["share"]
    where = f"{offset} places further" if offset > 0 else f"{-offset} places back"
    return f"In {share:.0%} of places the target is the input token {where}, where it must be the next one."


def _of_neighbours(alignment: DataCheck) -> str:
    where = "before" if alignment.numbers["shifted_by"] < 0 else "after"
    return (
        f"In {alignment.numbers['shifted']:.0%} of the rows the targets are the tokens of the row {where} it, "
        f"and in {alignment.numbers['own']:.0%} their own."
    )


def _told(state: State, step: int, told: str, numbers: State) -> tuple[State, list[Finding]]:
    finding = Finding(
        step=step,
        monitor="shifted_labels",
        code="shifted_labels",
        severity="warning",
        summary=told,
        meaning="The model is taught the neighbour's answer: it learns well what is wrong, or nothing.",
        causes=[
            "inputs and targets were read from two files or columns, and one of them lost or gained a line",
            "classes are counted from 1 in one place and from 0 in another, or named in another order",
            "tokens are moved by one twice, or not at all",
        ],
        advice=[
            "look at the first and last rows with their targets as the model gets them",
            "compare how classes are numbered in training and in evaluation",
        ],
        evidence={"lasting": True, "onset": 1, **numbers},
    )
    return {**state, "told": True, "looked": True, "seen": finding.summary}, [finding]

"""A classifier that gives one answer to everything."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, Started


class Collapse(msgspec.Struct, frozen=True, kw_only=True):
    """Nearly every row is told to be of one class, though the rows are not.

    A fresh model does so rightly, before it has learned: so it counts once answers were right more often than one class
    can be, or the run has had its chance (a quarter of its updates, and hundreds of rows). So does a model of rows that nearly all
    are of one class: what is judged is the most frequent answer beside that class's own share. It must do harm: a
    training loss that is that of guessing as well, or a validation loss that is at two evaluations in a row.
    """

    share: Annotated[float, Meta(gt=0.5, le=1)] = 0.95
    """Share of the rows that get the most frequent answer."""
    own: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    """Share up to which rows are truly of that class: beyond it, one answer may be the best that can be given."""
    sigmas: Annotated[float, Meta(gt=0)] = 4.0
    """Standard errors by which the share of right answers must once have been above the largest class."""
    rows: Annotated[int, Meta(ge=1)] = 20
    """Rows that an evaluation needs to be judged."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = ("underfitting", "overfitting")

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "had_learned": False, "since": None, "judged": 0, "seen": ""}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each evaluation on the validation split that says which classes were told."""
        learning = _learning.follow(state["learning"], record)
        if isinstance(record, Started):
            return {**self.init(), "learning": learning}, []
        state = {**state, "learning": learning}
        if not isinstance(record, Eval) or record.split != "validation" or not record.confusion:
            return state, []
        answers = _answers(record.confusion)
        total = sum(answers)
        if total < self.rows or len(answers) < 2:
            return state, []
        state = {**state, "judged": state["judged"] + 1}
        top = max(range(len(answers)), key=answers.__getitem__)
        told, own = answers[top] / total, sum(record.confusion[top]) / total
        if told < self.share or own > self.own:
            has_learned = state["had_learned"] or self._has_learned(record.confusion)
            return {**state, "since": None, "had_learned": has_learned}, []
        since = state["since"] or record.step
        is_second = state["since"] is not None
        state = {**state, "since": since}
        had_chance = state["had_learned"] or _learning.had_its_chance(learning, share=0.25)
        guesses = is_second and record.loss >= _learning.LEARNED * (_learning.start(learning) or math.inf)
        if not had_chance or not (guesses or _learning.is_at_guessing(learning)):
            return state, []
        finding = _finding(record, _name(record, top), told, own, since)
        return {**state, "seen": finding.summary}, [finding]

    def _has_learned(self, confusion: list[list[int]]) -> bool:
        total = sum(map(sum, confusion))
        right = sum(row[place] for place, row in enumerate(confusion) if place < len(row)) / total
        largest = max(map(sum, confusion)) / total
        return right - largest > self.sigmas * math.sqrt(largest * (1 - largest) / total)

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["judged"] else "no evaluation said which classes were told"
        return judged(state, blind=blind, fine="answers were spread over the classes")


def _answers(confusion: list[list[int]]) -> list[int]:
    """Return how many rows each class was told for; (classes,)."""
    width = min(len(row) for row in confusion)
    return [sum(row[column] for row in confusion) for column in range(min(width, len(confusion)))]


def _name(record: Eval, place: int) -> str:
    names = list(record.recalls)
    return names[place] if place < len(names) else str(place)


def _finding(record: Eval, name: str, told: float, own: float, since: int) -> Finding:
    evidence: dict[str, Any] = {"onset": since, "class": name, "told": told, "own_share": own}
    return Finding(
        step=record.step,
        monitor="collapse",
        code="collapse",
        severity="warning",
        summary=f"At step {record.step} {told:.0%} of {record.rows:,} rows are told to be `{name}`; {own:.0%} are.",
        meaning="The model gives one answer whatever it is shown: what it knew of the classes is not used, or gone.",
        causes=[
            "learning rate too high",
            "a loss or weights that make one class the cheapest answer",
            "units that have died, so that every input looks alike",
        ],
        advice=[
            f"go back to before step {since} and lower `learning_rate`",
            "look at the classes' shares in the training rows",
        ],
        evidence=evidence,
    )

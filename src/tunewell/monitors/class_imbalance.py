"""Classes so unlike in number that the small ones are not learned."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataChecked
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, Started, Step


class ClassImbalance(msgspec.Struct, frozen=True, kw_only=True):
    """One class has many times the rows of another, and nothing makes up for it.

    Unlike classes are common and often harmless: at 10:1 an easy task is learned all the same. SageMaker Debugger
    notices 10:1 and calls it a fault where more than 70 % of a class are told wrongly; so does this monitor: from 10:1 on
    it is an info, and a warning once an evaluation shows that most of a small class is missed while the largest is
    known. From 20:1 on waiting costs more than a needless word: a usual batch then holds one row of the small class or
    none, and networks trained on steps of 20:1 and more lose accuracy on every set tried (Buda et al., 2018,
    arXiv:1710.05381). A weighted loss or batches in which classes are even count as a remedy.
    """

    noticed: Annotated[float, Meta(gt=1)] = 10.0
    """Rows of the largest class for one of the smallest."""
    severe: Annotated[float, Meta(gt=1)] = 20.0
    """The same, from which it is a fault before any evaluation."""
    missed: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    """Share of a class told wrongly that is harm."""
    fewest: Annotated[int, Meta(ge=1)] = 10
    """Rows of a class in an evaluation that its recall is believed from."""

    reads: ClassVar[tuple[type, ...]] = (Started, DataChecked, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = ("collapse", "plateau", "underfitting")

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "counts": {},
            "reweighted": False,
            "pending": False,
            "noticed": False,
            "told": False,
            "seen": "",
        }

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Take the counts, judge them at the first update, and the small classes at each evaluation."""
        match record:
            case Started():
                counts = {name: float(count) for name, count in record.class_counts.items()}
                return {
                    **self.init(),
                    "counts": counts,
                    "pending": len(counts) > 1,
                    "seen": state["seen"],
                }, []
            case DataChecked():
                return self._counted(state, record), []
            case Step() if state["pending"]:
                return self._first_update(state, record)
            case Eval() if record.split == "validation" and record.recalls and not state["told"]:
                return self._evaluated(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if len(state["counts"]) > 1 else "the rows of each class are not known"
        fine = (
            f"the largest class has {_ratio(state['counts']):.3g} times the rows of the smallest"
            if not blind
            else ""
        )
        return judged(state, blind=blind, fine=fine)

    def _counted(self, state: State, record: DataChecked) -> State:
        classes, balance = record.checks.get("classes"), record.checks.get("balance")
        if classes is None or balance is None or not balance.of:
            return state
        counts = {name: count for name, count in classes.numbers.items() if count > 0}
        reweighted = balance.numbers.get("reweighted", 0.0) > 0
        return {**state, "counts": counts, "reweighted": reweighted, "pending": len(counts) > 1}

    def _first_update(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        """Judge the counts, now that a batch shows whether its classes are drawn evenly."""
        ratio = _ratio(state["counts"])
        even = state["reweighted"] or _drawn_evenly(step.label_counts or {}, state["counts"])
        state = {**state, "pending": False, "reweighted": even}
        if ratio < self.noticed or even:
            return state, []
        severe = ratio >= self.severe
        finding = _finding(state["counts"], step.step, "warning" if severe else "info", "")
        return {**state, "noticed": True, "told": severe, "seen": finding.summary if severe else ""}, [
            finding
        ]

    def _evaluated(self, state: State, record: Eval) -> tuple[State, list[Finding]]:
        counts = state["counts"]
        if _ratio(counts) < self.noticed:
            return state, []
        most = max(counts, key=lambda name: counts[name])
        if record.recalls.get(most, 0.0) < 0.5:
            return state, []  # nothing is learned yet, or all classes are hard
        missed = {
            name: recall
            for name, recall in record.recalls.items()
            if counts.get(name, counts[most]) * self.noticed <= counts[most]
            and record.class_rows.get(name, 0) >= self.fewest
            and recall < 1 - self.missed
        }
        if not missed:
            return state, []
        worst = min(missed, key=lambda name: missed[name])
        harm = f" At step {record.step} {missed[worst]:.0%} of `{worst}` are told rightly, {record.recalls[most]:.0%} of `{most}`."
        finding = _finding(counts, record.step, "warning", harm)
        return {**state, "told": True, "seen": finding.summary}, [finding]


def _ratio(counts: dict[str, float]) -> float:
    present = [count for count in counts.values() if count > 0]
    return max(present) / min(present) if len(present) > 1 else 1.0


def _drawn_evenly(batch: dict[str, int], counts: dict[str, float]) -> bool:
    """Return whether a batch is likelier to be drawn with even classes than as they stand in the data."""
    if not batch or not all(counts.get(name, 0) > 0 for name in batch):
        return False
    total = sum(counts.values())
    as_they_stand = math.fsum(number * math.log(counts[name] / total) for name, number in batch.items())
    return sum(batch.values()) * -math.log(len(counts)) > as_they_stand


def _finding(counts: dict[str, float], step: int, severity: str, harm: str) -> Finding:
    most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    return Finding(
        step=step,
        monitor="class_imbalance",
        code="class_imbalance",
        severity="warning" if severity == "warning" else "info",
        summary=f"The class `{most}` has {counts[most]:,.0f} training rows and `{least}` {counts[least]:,.0f}, "
        f"{_ratio(counts):,.0f}:1.{harm}",
        meaning="The loss is that of the large classes: calling everything by their name costs little, and the small ones "
        "are not learned.",
        causes=["rare classes are rare in what was collected", "rows of a class were lost on the way"],
        advice=[
            "set `class_weights: balanced`, or draw classes evenly",
            "judge by `macro_f1` or recall by class (`metric_for_best_model`), not by accuracy",
            "collect more rows of the small classes",
        ],
        evidence={
            "lasting": True,
            "onset": max(1, step),
            "ratio": round(_ratio(counts), 2),
            "counts": counts,
        },
    )

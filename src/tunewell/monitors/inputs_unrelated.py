"""Targets that do not follow from the inputs."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataChecked, Tested
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, Started, Step


class InputsUnrelated(msgspec.Struct, frozen=True, kw_only=True):
    """Neither a simple model nor the run itself can tell anything from the inputs after most of an epoch.

    A simple model that is no better than guessing under cross-validation shows little: what lies in combinations of
    inputs (XOR, parity) it can't see. A run that is no better than guessing on validation rows shows little either:
    its rate may be wrong. Both together, after most rows were seen, leave the data: rows and targets that don't belong
    together, or inputs that never reach the model. That the outputs don't change when the inputs are replaced, which
    a self-test tries, shows the latter at once. Chance is measured in standard errors of guessing.
    """

    errors: Annotated[float, Meta(gt=0)] = 3.0
    """Standard errors beyond guessing, up to which a score is at chance."""
    errors_of_simple: Annotated[float, Meta(gt=0)] = 4.5
    """The same for the simple model: folds share their training rows, so that a cross-validated score varies one and a
    half times as much as one of independent rows (Nadeau and Bengio, 2003)."""
    epochs: Annotated[float, Meta(gt=0)] = 0.75
    """Passes over the rows before the run is judged: an evaluation hardly ever falls on an epoch's last update."""

    reads: ClassVar[tuple[type, ...]] = (Started, Tested, DataChecked, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = (
        "underfitting", "overfitting", "plateau", "label_noise", "learning_rate_too_low", "collapse", "oscillation",
        "cannot_fit_a_batch", "vanishing_gradient",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "classes": 0, "majority": None, "rows": 0, "passed": 0, "blind": "no simple model was tried on the rows",
            "signal": None, "judged": "", "told": False, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Compare the simple model and the run with guessing."""
        match record:
            case Started():
                return _begun(self.init(), record, state["seen"]), []
            case DataChecked() if "signal" in record.checks:
                check = record.checks["signal"]
                rows = record.checks["duplicates"].of if "duplicates" in record.checks else 0
                signal = dict(check.numbers) if "accuracy" in check.numbers else None
                return {**state, "signal": signal, "blind": check.why_not, "rows": rows or state["rows"]}, []
            case Tested(name="inputs_matter", passed=bool()) if not state["told"]:
                return self._tested(state, record)
            case Step():
                return self._stepped(state, record)
            case Eval() if record.split == "validation" and self._is_due(state):
                return self._evaluated(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        signal = state["signal"]
        if signal is not None and not self._at_chance(signal):
            score = f"{signal['accuracy']:.2g} where guessing has {signal['chance']:.2g}"
            return judged(state, blind="", fine=f"a simple model sees the targets in the inputs ({score})")
        blind = (
            ""
            if state["judged"]
            else state["blind"] or "the run has made no evaluation after most of an epoch"
        )
        return judged(state, blind=blind, fine=state["judged"])

    def _at_chance(self, signal: dict[str, float]) -> bool:
        return signal["accuracy"] <= signal["chance"] + self.errors_of_simple * signal["standard_error"]

    def _is_due(self, state: State) -> bool:
        seen_all = state["rows"] > 0 and state["passed"] >= self.epochs * state["rows"]
        return bool(seen_all and not state["told"] and state["signal"] and self._at_chance(state["signal"]))

    def _tested(self, state: State, record: Tested) -> tuple[State, list[Finding]]:
        if record.passed:
            return {**state, "judged": "other inputs give other outputs"}, []
        finding = _finding(
            max(1, record.step), record.detail, "The model does not look at its inputs.", dict(record.numbers)
        )
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def _stepped(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        if state["told"] or state["rows"] == 0 or state["passed"] >= self.epochs * state["rows"]:
            return state, []
        return {**state, "passed": state["passed"] + step.rows}, []

    def _evaluated(self, state: State, record: Eval) -> tuple[State, list[Finding]]:
        score = _score(record, state)
        if score is None:
            return {**state, "blind": "its evaluations have no score that guessing's is known for"}, []
        reached, chance, error = score
        if reached > chance + self.errors * error:
            return {
                **state,
                "judged": f"on validation rows it reaches {reached:.2g} where guessing has {chance:.2g}",
            }, []
        signal = state["signal"]
        told = (
            f"After {state['passed']:,} rows the score on validation rows is {reached:.3g}, where guessing has {chance:.3g}, "
            f"and a simple model that is trained on other rows gets {signal['accuracy']:.3g} ({signal['chance']:.3g})."
        )
        finding = _finding(
            record.step,
            told,
            "Nothing in the inputs tells the targets. What the model still learns it learns by heart.",
            {"validation": reached, "chance": chance, "standard_error": error, "signal": signal},
        )
        return {**state, "told": True, "seen": finding.summary}, [finding]


def _begun(state: State, started: Started, seen: str) -> State:
    counts = [count for count in started.class_counts.values() if count > 0]
    majority = max(counts) / sum(counts) if counts else None
    return {
        **state,
        "classes": started.num_classes,
        "majority": majority,
        "rows": started.num_rows.get("train", 0),
        "seen": seen,
    }


def _score(record: Eval, state: State) -> tuple[float, float, float] | None:
    """Return a score, what guessing gets, and its standard error; None where none is comparable."""
    if record.recalls and record.class_rows:
        sizes = [record.class_rows.get(name, 0) for name in record.recalls]
        known = [(recall, size) for recall, size in zip(record.recalls.values(), sizes, strict=True) if size]
        if len(known) > 1:
            chance = 1 / len(known)
            error = math.sqrt(math.fsum(chance * (1 - chance) / size for _, size in known)) / len(known)
            return math.fsum(recall for recall, _ in known) / len(known), chance, error
    accuracy = record.metrics.get("accuracy")
    if accuracy is not None and state["classes"] > 1:
        chance = state["majority"] or 1 / state["classes"]
        return accuracy, chance, math.sqrt(chance * (1 - chance) / max(1, record.rows))
    for metric in ("pearson", "spearman"):
        if metric in record.metrics and math.isfinite(record.metrics[metric]):
            return record.metrics[metric], 0.0, 1 / math.sqrt(max(1, record.rows))
    if "r2" in record.metrics and math.isfinite(record.metrics["r2"]):
        return record.metrics["r2"], 0.0, 1 / max(1, record.rows)
    return None


def _finding(step: int, told: str, meaning: str, numbers: State) -> Finding:
    return Finding(
        step=step,
        monitor="inputs_unrelated",
        code="inputs_unrelated",
        severity="warning",
        summary=told,
        meaning=meaning,
        causes=[
            "inputs and targets were shuffled or sorted apart from each other",
            "the wrong column, or an empty or constant one, is read as input",
            "inputs are lost on the way into the model: all masked, all padding, zeroed",
            "the task can't be told from these inputs at all",
        ],
        advice=[
            "look at some rows with their targets, as the model gets them: would a person know?",
            "try one row changed by hand: the output must change",
        ],
        evidence={"lasting": True, "onset": 1, **numbers},
    )

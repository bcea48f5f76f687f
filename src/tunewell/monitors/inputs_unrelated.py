"""Targets that do not follow from the inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataChecked, Tested
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, Started, Step

_MOST = 0.5
"""Share of rows that is most of them."""
_FIRST, _RECENT = 8, 64
"""Updates whose losses are kept: of the first ones, and of the epoch's last ones."""


class InputsUnrelated(msgspec.Struct, frozen=True, kw_only=True):
    """Neither a simple model nor the run itself can tell anything from the inputs after most of an epoch.

    A simple model that is no better than guessing under cross-validation shows little: what lies in combinations of
    inputs (XOR, parity) it can't see. A run that is no better than guessing on validation rows shows little either:
    its rate may be wrong. Both together, after most rows were seen, leave the data: rows and targets that don't belong
    together, or inputs that never reach the model. That the outputs don't change when the inputs are replaced, which
    a self-test tries, shows the latter at once. So do targets of a language model that are another row's tokens, word for
    word and each row's once, and hardly ever their own. Chance is measured in standard errors of guessing.

    The run is judged by its first evaluation after most of an epoch, or when the epoch is over by the one before, unless
    its training loss is below that of guessing by then: in a first epoch each row is new to the model.
    """

    errors: Annotated[float, Meta(gt=0)] = 3.0
    """Standard errors beyond guessing, up to which a score is at chance."""
    errors_of_simple: Annotated[float, Meta(gt=0)] = 4.5
    """The same for the simple model: folds share their training rows, so that a cross-validated score varies one and a
    half times as much as one of independent rows (Nadeau and Bengio, 2003)."""
    weakest: Annotated[float, Meta(gt=0)] = 0.25
    """How far beyond guessing the simple model's score may be and still count as chance: with few rows its errors are so
    wide that nothing follows from it."""
    epochs: Annotated[float, Meta(gt=0)] = 0.75
    """Passes over the rows before an evaluation is judged at once: it hardly ever falls on an epoch's last update."""
    earlier: Annotated[float, Meta(gt=0)] = 0.5
    """Passes before one that is judged at the end of the first epoch, where none came later."""
    learned: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    """Training loss beside guessing from which the run has learned something."""
    elsewhere: Annotated[float, Meta(gt=0, lt=1)] = 0.98
    """Share of rows whose targets are another row's tokens from which inputs and targets were put in different orders:
    texts made alike repeat one another, but not each as often."""

    reads: ClassVar[tuple[type, ...]] = (Started, Tested, DataChecked, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = (
        "underfitting", "overfitting", "plateau", "label_noise", "learning_rate_too_low", "collapse", "oscillation",
        "cannot_fit_a_batch", "vanishing_gradient",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "classes": 0, "majority": None, "rows": 0, "passed": 0, "blind": "no simple model was tried on the rows",
            "signal": None, "judged": "", "told": False, "seen": "", "guessing": None, "first": [],
            "recent": [], "evaluation": None, "every": 0,
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Compare the simple model and the run with guessing."""
        match record:
            case Started():
                return _begun(self.init(), record, state["seen"]), []
            case DataChecked() if not state["told"]:
                return self._checked(state, record)
            case Tested(name="inputs_matter", passed=bool()) if not state["told"]:
                return self._tested(state, record)
            case Step():
                return self._stepped(state, record)
            case Eval() if record.split == "validation":
                since = 0 if state["evaluation"] is None else state["evaluation"]["step"]
                score = _score(record, state)
                known = None if score is None or not all(map(math.isfinite, score)) else list(score)
                place = {"step": record.step, "passed": state["passed"], "score": known}
                state = {**state, "every": record.step - since, "evaluation": place}
                return self._judged(state, record.step, score) if self._is_due(state) else (state, [])
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

    def _checked(self, state: State, record: DataChecked) -> tuple[State, list[Finding]]:
        checks = record.checks
        if "signal" in checks:
            check = checks["signal"]
            rows = checks["duplicates"].of if "duplicates" in checks else 0
            signal = dict(check.numbers) if "accuracy" in check.numbers else None
            blind = check.why_not
            if signal is not None and self.errors_of_simple * signal["standard_error"] > self.weakest:
                signal, blind = None, "there are too few rows for a simple model to tell anything"
            state = {**state, "signal": signal, "blind": blind, "rows": rows or state["rows"]}
        belonging = checks["alignment"].numbers if "alignment" in checks else {}
        if "own" not in belonging:
            return state, []
        own, elsewhere = belonging["own"], belonging.get("elsewhere", 0.0)
        if own >= _MOST:
            return {
                **state,
                "blind": "",
                "judged": f"in {own:.0%} of the rows the targets are their own tokens",
            }, []
        if elsewhere < self.elsewhere or belonging["by_chance"] > _MOST or belonging["shifted"] >= _MOST:
            return state, []
        told = (
            f"In {elsewhere:.0%} of the rows the targets are another row's tokens, word for word, "
            f"and in {own:.0%} their own; by chance {belonging['by_chance']:.0%} would be another's."
        )
        finding = _finding(
            max(1, record.step), told, "Inputs and targets stand in different orders.", dict(belonging)
        )
        return {**state, "told": True, "seen": finding.summary}, [finding]

    def _stepped(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        if state["told"] or state["rows"] == 0 or state["passed"] >= state["rows"]:
            return state, []
        state = {**state, "passed": state["passed"] + step.rows}
        if math.isfinite(step.loss) and len(state["first"]) < _FIRST:
            state = {**state, "first": [*state["first"], step.loss]}
        if math.isfinite(step.loss) and state["passed"] > self.epochs * state["rows"]:
            state = {**state, "recent": [*state["recent"], step.loss][-_RECENT:]}
        before = state["evaluation"]
        if state["passed"] < state["rows"] or before is None or not self._is_due(state):
            return state, []
        is_early = self.earlier * state["rows"] <= before["passed"] < self.epochs * state["rows"]
        is_coming = state["every"] > 0 and (step.step - before["step"]) % state["every"] == 0
        if not is_early or is_coming or self._has_learned(state):
            return state, []
        return self._judged(state, step.step, before["score"])

    def _has_learned(self, state: State) -> bool:
        """Return whether the loss of the epoch's last rows, all of which were new to the model, is below guessing.

        Of numbers, where guessing is not known, it is what the run began with.
        """
        if not state["recent"]:
            return False
        guessing = state["guessing"] or fmean(state["first"])
        return fmean(state["recent"]) < self.learned * guessing

    def _judged(self, state: State, step: int, score: Sequence[float] | None) -> tuple[State, list[Finding]]:
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
            step,
            told,
            "Nothing in the inputs tells the targets. What the model still learns it learns by heart.",
            {"validation": reached, "chance": chance, "standard_error": error, "signal": signal},
        )
        return {**state, "told": True, "seen": finding.summary}, [finding]


def _begun(state: State, started: Started, seen: str) -> State:
    counts = [count for count in started.class_counts.values() if count > 0]
    majority = max(counts) / sum(counts) if counts else None
    shares = [count / sum(counts) for count in counts]
    return {
        **state,
        "guessing": -math.fsum(share * math.log(share) for share in shares) if len(shares) > 1 else None,
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

"""Batches of one class, or of like targets, because the rows come in the order of the file."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import DataChecked
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Finding, Record, Started, Step


class SortedData(msgspec.Struct, frozen=True, kw_only=True):
    """The batches are far purer than random ones: each update teaches one class and unteaches the others.

    Two draws from a random batch are of one class with probability Σp², p the classes' shares; how far a batch is beyond
    that, with its exact standard error, needs no threshold of its own. Significance alone is no harm, though: batches
    of rows of like length, or a file gathered in pieces, are a little purer than chance and train well. Half the way
    from chance to batches of one class each is sorting. Of targets that are numbers it is the share of their variance
    that lies between batches. Judged from the coming order of batches where that is known, else from the classes in
    the batches as they come, at the beginning of the run.
    """

    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Way from random batches (0) to batches of one class (1)."""
    sigmas: Annotated[float, Meta(gt=0)] = 6.0
    """Standard errors beyond chance: never by chance in any number of runs."""
    updates: Annotated[int, Meta(ge=1)] = 100
    """Updates from the first that are looked at: rows that are sorted are so from the beginning."""

    reads: ClassVar[tuple[type, ...]] = (Started, DataChecked, Step)
    explains: ClassVar[tuple[str, ...]] = (
        "oscillation", "loss_spike", "gradient_spike", "divergence", "forgetting", "collapse", "plateau",
        "exploding_gradient", "underfitting", "overfitting", "learning_rate_too_high", "learning_rate_too_low",
        "vanishing_gradient",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "counts": {},
            "batches": 0,
            "pairs": 0.0,
            "alone": 0.0,
            "shared": 0.0,
            "came": {},
            "looked": "",
            "seen": "",
        }

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the order before the first update, and each batch of the first updates."""
        match record:
            case Started():
                counts = {name: float(count) for name, count in record.class_counts.items()}
                return {**self.init(), "counts": counts, "seen": state["seen"]}, []
            case DataChecked():
                return self._checked(state, record)
            case Step() if record.label_counts and state["batches"] < self.updates and not state["seen"]:
                return self._came(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["looked"] else "the order of rows and the classes of batches are not known"
        return judged(state, blind=blind, fine=f"batches are mixed: {state['looked']}")

    def _checked(self, state: State, record: DataChecked) -> tuple[State, list[Finding]]:
        classes, order = record.checks.get("classes"), record.checks.get("order")
        if classes is not None and classes.numbers:
            state = {**state, "counts": {name: count for name, count in classes.numbers.items() if count > 0}}
        if order is None or "purity" not in order.numbers:
            return state, []
        purity, expected, z = (order.numbers[name] for name in ("purity", "expected", "z"))
        way = (purity - expected) / max(1e-9, 1 - expected)
        told = f"in the mean batch {purity:.0%} are of one class, where random order gives {expected:.0%}"
        if not (classes is not None and classes.numbers):
            told = f"between batches lies {purity:.0%} of the targets' variance, where random order leaves {expected:.0%}"
        state = {**state, "looked": told}
        if way < self.share or z < self.sigmas:
            return state, []
        return self._found(state, max(1, record.step), told, {"purity": purity, "expected": expected, "z": z})

    def _came(self, state: State, step: Step) -> tuple[State, list[Finding]]:
        batch = step.label_counts or {}
        came = dict(state["came"])
        for name, number in batch.items():
            came[name] = came.get(name, 0) + number
        known = state["counts"] if batch.keys() <= state["counts"].keys() else came
        state = {**state, "came": came}
        rows = sum(batch.values())
        if rows > 1:
            pairs = sum(number * (number - 1) for number in batch.values()) / (rows * (rows - 1))
            state = {
                **state,
                "batches": state["batches"] + 1,
                "pairs": state["pairs"] + pairs,
                "alone": state["alone"] + 2 / (rows * (rows - 1)),
                "shared": state["shared"] + 4 * (rows - 2) / (rows * (rows - 1)),
            }
        shares = [count / sum(known.values()) for count in known.values() if count]
        if not state["batches"] or len(shares) < 2:
            return state, []
        same, cubes = math.fsum(p**2 for p in shares), math.fsum(p**3 for p in shares)
        variance = state["alone"] * (same - same**2) + state["shared"] * (cubes - same**2)
        beyond = state["pairs"] - state["batches"] * same
        way = beyond / max(1e-9, state["batches"] * (1 - same))
        z = beyond / math.sqrt(max(1e-12, variance))
        told = (
            f"two rows of a batch are of one class in {state['pairs'] / state['batches']:.0%} of cases, "
            f"where random order gives {same:.0%}"
        )
        state = {**state, "looked": told}
        if way < self.share or z < self.sigmas:
            return state, []
        return self._found(state, step.step, told, {"way": way, "z": z, "batch": batch})

    def _found(self, state: State, step: int, told: str, numbers: State) -> tuple[State, list[Finding]]:
        finding = Finding(
            step=step,
            monitor="sorted_data",
            code="sorted_data",
            severity="warning",
            summary=f"{told[0].upper()}{told[1:]}.",
            meaning="Each update teaches the class at hand and unteaches the others; the last ones of an epoch win.",
            causes=[
                "the rows are sorted by class (or by target) and are not shuffled",
                "a loader without `shuffle=True`, or a sampler that keeps the file's order",
            ],
            advice=[
                "draw rows in random order",
                "shuffle the file once, if its order can't be changed otherwise",
            ],
            evidence={"lasting": True, "onset": 1, **numbers},
        )
        return {**state, "seen": finding.summary}, [finding]

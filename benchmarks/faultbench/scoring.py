"""Outcomes → scores: was the fault named in time and by its right name, was it repaired, was a healthy run left alone?"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.faultbench.faults import FAULTS, Fault, When
from benchmarks.faultbench.outcome import Outcome, Told

CLOSE = 0.98
"""Share of the healthy mean that a repaired run reaches."""
GOOD_F1 = 0.8
"""F1 of the listed rows from which a fault of rows counts as repaired."""
MOST = 0.5
"""Share of a kind's runs that must be right for the kind to count."""
TWINS = {"dropout_at_evaluation": "much_dropout"}
"""Faults that are planted in a healthy variant and not in the base as it is: what they are measured against."""
FAMILIES = {
    "optimizer": (
        "divergence", "exploding_gradient", "gradient_spike", "gradient_underflow", "learning_rate_too_high",
        "learning_rate_too_low", "loss_spike", "no_warmup", "non_finite", "oscillation", "schedule_too_fast",
        "epsilon_too_large", "vanishing_gradient", "underfitting", "plateau",
    ),
    "code": (
        "accumulation_not_divided", "bad_initialization", "cannot_fit_a_batch", "dead_units", "double_softmax",
        "evaluation_in_training_mode", "frozen_head", "gradients_not_cleared", "parameters_not_updating", "saturation",
        "shifted_labels", "training_in_evaluation_mode", "vanishing_gradient", "underfitting",
    ),
    "data": (
        "class_imbalance", "collapse", "conflicting_labels", "duplicates", "inputs_not_normalized", "inputs_unrelated",
        "label_noise", "leakage", "shifted_labels", "sorted_data", "truncated_targets", "underfitting",
    ),
    "behaviour": ("forgetting", "overfitting", "overtraining", "duplicates"),
}  # fmt: skip
"""Codes that point into a fault's direction: half a point."""


@dataclass(frozen=True)
class Naming:
    """What was said of one sick run."""

    outcome: Outcome
    exact: bool
    family: bool
    early: bool
    delay: int | None
    """Updates from the onset to the exact name."""
    others: list[str] = field(default_factory=list)
    """Causes of the run's other incidents."""
    instead: str = ""
    """The first thing said in time, where it was not the exact name."""


def named(outcome: Outcome) -> Naming:
    """Return how the run's incidents were named: what counts is each one's cause as it was known at the deadline."""
    fault = FAULTS[outcome.job.name]
    early = outcome.onset > 1 and any(one.step < outcome.onset for one in outcome.told)
    in_time = [one for one in outcome.told if one.step <= outcome.deadline]
    right = [one for one in in_time if one.cause == fault.code]
    exact = bool(right) and fault.code in causes(in_time) and not early
    return Naming(
        outcome=outcome,
        exact=exact,
        family=not early and any(one.cause in FAMILIES[fault.family] for one in in_time),
        early=early,
        delay=max(0, right[0].step - outcome.onset) if exact else None,
        others=[cause for cause in causes(outcome.told) if cause != fault.code],
        instead="" if exact else _instead(outcome, in_time),
    )


def causes(told: Sequence[Told]) -> list[str]:
    """Return the cause of each incident, as the last of its findings tells it; tied incidents are one."""
    found: dict[str, str] = {}
    for one in told:
        for tied in one.tied:
            found.pop(tied, None)
        found[one.incident] = one.cause
    return list(found.values())


def _instead(outcome: Outcome, in_time: Sequence[Told]) -> str:
    if in_time:
        return ", ".join(dict.fromkeys(one.cause for one in in_time[:3]))
    late = next((one for one in outcome.told), None)
    if late is not None:
        return f"{late.cause} at {late.step}, after {outcome.deadline}"
    return "nothing, and blind" if outcome.blind else "nothing"


@dataclass(frozen=True)
class Levels:
    """What the base reaches without any fault: mean and standard deviation of its test score over seeds."""

    mean: float
    sigma: float


def levels(outcomes: Iterable[Outcome], variant: str = "") -> dict[str, Levels]:
    """Return the level of each base, as it is or as a healthy `variant` of it."""
    scores: dict[str, list[float]] = defaultdict(list)
    for one in outcomes:
        if one.job.kind != "fault" and one.job.name == variant and one.job.arm == "observe":
            scores[one.job.base].append(one.final)
    return {
        base: Levels(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0)
        for base, found in scores.items()
    }


def level_of(name: str, base: str, outcomes: Sequence[Outcome]) -> Levels:
    """Return what `base` reaches without the fault `name`."""
    return levels(outcomes, TWINS.get(name, "")).get(base) or levels(outcomes)[base]


def by_fault(outcomes: Iterable[Outcome], arm: str) -> dict[tuple[str, str], list[Outcome]]:
    """Return the sick runs of one arm by base and fault."""
    found: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        if one.job.kind == "fault" and one.job.arm == arm:
            found[one.job.base, one.job.name].append(one)
    return dict(found)


def does_harm(fault: Fault, runs: Sequence[Outcome], level: Levels) -> bool:
    """Return whether the fault costs these watched, unmended runs more than 2 %; faults of the rows count as they are.

    What the rows are is told before it can cost anything, and leakage flatters rather than harms.
    """
    if fault.when in (When.DATA, When.EPOCH) or fault.lists_rows:
        return True
    return statistics.fmean(one.final for one in runs) < CLOSE * _aim(fault, runs, level)


def _aim(fault: Fault, runs: Sequence[Outcome], level: Levels) -> float:
    references = [one.reference for one in runs if one.reference is not None]
    return statistics.fmean(references) if fault.when is When.BEHAVIOUR and references else level.mean


@dataclass(frozen=True)
class Repair:
    """One fault on one base: mean final scores of the arms."""

    base: str
    name: str
    aim: float
    nothing: float
    random: float | None
    autopilot: float
    f1: float | None
    repaired: int
    runs: int


def repairs(outcomes: Sequence[Outcome], harmful: Iterable[tuple[str, str]]) -> list[Repair]:
    """Return what came of the autopilot's runs, beside doing nothing and doing anything."""
    watched, random = by_fault(outcomes, "observe"), by_fault(outcomes, "random")
    mended = by_fault(outcomes, "autopilot")
    found = []
    for base, name in harmful:
        runs = mended.get((base, name), [])
        if not runs:
            continue
        fault = FAULTS[name]
        seeds = {one.job.seed for one in runs}
        same = [one for one in watched[base, name] if one.job.seed in seeds]
        aim = _aim(fault, same, level_of(name, base, outcomes))
        nothing = statistics.fmean(one.final for one in same)
        other = statistics.fmean(one.final for one in random[base, name]) if (base, name) in random else None
        f1s = [one.f1 for one in watched[base, name] if one.f1 is not None]
        if fault.lists_rows:
            right = sum(f1 >= GOOD_F1 for f1 in f1s)
        else:
            bar = max(nothing, -math.inf if other is None else other)
            right = sum(one.final >= CLOSE * aim and one.final > bar for one in runs)
        found.append(
            Repair(
                base=base, name=name, aim=aim, nothing=nothing, random=other,
                autopilot=statistics.fmean(one.final for one in runs),
                f1=statistics.fmean(f1s) if f1s else None, repaired=right,
                runs=len(f1s) if fault.lists_rows else len(runs),
            )
        )  # fmt: skip
    return found


def kinds(rights: Mapping[str, Sequence[bool]]) -> list[str]:
    """Return the faults of which most runs, over all bases together, are right."""
    return [name for name, found in rights.items() if found and sum(found) >= MOST * len(found)]


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class BaselineScore:
    """What a baseline's rules make of the same records."""

    name: str
    exact: int
    runs: int
    kinds: int
    healthy_alarmed: int
    healthy_runs: int


def baseline_scores(harmful: Sequence[Outcome], healthy: Sequence[Outcome]) -> list[BaselineScore]:
    """Return the score of each baseline; any alarm of the right name in time counts, so that it is judged kindly."""
    found = []
    for name in sorted({name for one in harmful for name in one.baselines}):
        rights: dict[str, list[bool]] = defaultdict(list)
        for one in harmful:
            code = FAULTS[one.job.name].code
            alarms = one.baselines.get(name, [])
            early = one.onset > 1 and any(alarm.step < one.onset for alarm in alarms)
            in_time = any(alarm.code == code and alarm.step <= one.deadline for alarm in alarms)
            rights[one.job.name].append(in_time and not early)
        alarmed = sum(bool(one.baselines.get(name)) for one in healthy)
        exact = sum(map(sum, rights.values()))
        found.append(BaselineScore(name, exact, len(harmful), len(kinds(rights)), alarmed, len(healthy)))
    return found

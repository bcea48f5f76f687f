"""Carry out one job: build the base, plant the fault, train under the arm, note what was told and how it ended."""

from __future__ import annotations

import math
import random
import time
import warnings
from collections.abc import Sequence

import msgspec
import torch

import tunewell
from benchmarks.faultbench import baselines
from benchmarks.faultbench.arms import ARMS, RandomActions
from benchmarks.faultbench.bases import find
from benchmarks.faultbench.faults import FAULTS, Fault, Injected, When
from benchmarks.faultbench.healthy import HEALTHY
from benchmarks.faultbench.loop import Unwatched, predict, train
from benchmarks.faultbench.outcome import Job, Outcome, Told
from benchmarks.faultbench.training import Draw, Training
from tunewell.integrations.watcher import Watcher
from tunewell.records import Acted, Eval, Finding, Record


def carry_out(job: Job, stamp: str = "") -> Outcome:
    """Return what came of `job`. What breaks in the run or in the watching is told in the outcome, not raised."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a schedule that is stepped too early is one of the faults
            outcome = _carried_out(job, stamp)
    except Exception as error:  # the benchmark goes on, and the page tells it
        outcome = Outcome(job=job, stamp=stamp, steps=0, error=f"{type(error).__name__}: {error}")
    return msgspec.structs.replace(outcome, seconds=round(time.perf_counter() - began, 2))


def planted(job: Job) -> tuple[Training, Injected, float]:
    """Return the base of `job` with its fault or variant in it, what that did, and its magnitude."""
    training = find()[job.base].build(job.seed)
    if job.kind != "fault":
        if job.kind == "healthy":
            HEALTHY[job.name](training, Draw(job.seed, 1.0, training.steps))
        return training, Injected(), 1.0
    fault = FAULTS[job.name]
    magnitude = _magnitude(job, fault)
    injected = fault.inject(training, Draw(job.seed, magnitude, training.steps, job.varied))
    return training, injected or Injected(), magnitude


def _carried_out(job: Job, stamp: str) -> Outcome:
    training, injected, magnitude = planted(job)
    outcome = Outcome(job=job, stamp=stamp, steps=training.steps, onset=injected.onset, magnitude=magnitude)
    return msgspec.structs.replace(outcome, **_measured(training, job, injected))


def watched(training: Training, policy: str, seed: str) -> tuple[list[Record], Watcher, float]:
    """Train under `tunewell.watch`; return the records, the closed watcher and the score on the test rows."""
    RandomActions.seed = seed
    optimizer = training.build_optimizer()
    schedule = training.build_schedule(optimizer)
    with tunewell.watch(
        training.model, optimizer, scheduler=schedule, total_steps=training.steps, train=tuple(training.train),
        validation=tuple(training.validation), num_classes=training.num_classes or None, folder=None, policy=policy,
    ) as watch:  # fmt: skip
        train(training, optimizer, schedule, watch)
        final = training.score(predict(training, training.test), training.test.targets)
    return watch.records, watch, final


def _measured(training: Training, job: Job, injected: Injected) -> dict[str, object]:
    fault = FAULTS[job.name] if job.kind == "fault" else None
    policy = ARMS[job.arm]
    if policy is None:
        optimizer = training.build_optimizer()
        train(training, optimizer, training.build_schedule(optimizer), Unwatched())
        return {"final": _number(training.score(predict(training, training.test), training.test.targets))}
    records, watch, final = watched(training, policy, job.key)
    evaluations = [one for one in records if isinstance(one, Eval)]
    measured: dict[str, object] = {
        "final": _number(final),
        "told": told(records),
        "actions": [_in_words(one) for one in records if isinstance(one, Acted) and one.outcome == "applied"],
    }
    if fault is not None:
        onset = _best(evaluations) if fault.when is When.BEHAVIOUR else injected.onset
        measured["onset"] = onset
        measured["deadline"] = _deadline(fault.when, onset, training)
        measured["blind"] = watch.verdicts()[fault.code].kind == "blind"
        if fault.when is When.BEHAVIOUR:
            measured["reference"] = max(
                one.metrics[training.metric] for one in evaluations if math.isfinite(one.loss)
            )
        if fault.lists_rows:
            measured["f1"] = _f1(_listed(records, fault.code), injected.rows)
    if job.arm == "observe":
        measured["baselines"] = {name: rule(records) for name, rule in baselines.find().items()}
    return measured


def told(records: Sequence[Record]) -> list[Told]:
    """Return the findings above info."""
    return [
        Told(
            step=one.step,
            code=one.code,
            severity=one.severity,
            incident=one.evidence.get("incident", f"{one.code}@{one.step}"),
            cause=one.evidence.get("cause", one.code),
            tied=one.evidence.get("tied", []),
            summary=one.summary,
        )
        for one in records
        if isinstance(one, Finding) and one.severity != "info"
    ]


def _magnitude(job: Job, fault: Fault) -> float:
    if not job.varied or fault.least == fault.most:
        return fault.magnitude
    sign = math.copysign(1, fault.magnitude)
    ends = sorted((math.log(abs(fault.least)), math.log(abs(fault.most))))
    return sign * math.exp(random.Random(f"magnitude {job.name} {job.seed}").uniform(*ends))


def _deadline(when: When, onset: int, training: Training) -> int:
    match when:
        case When.EVENT:
            return onset + max(20, round(0.05 * training.steps))
        case When.SETTING:
            return round(0.25 * training.steps)
        case When.DATA:
            return 1
        case When.EPOCH:
            return training.epoch_steps
        case When.BEHAVIOUR:
            return onset + round(0.1 * training.steps)


def _best(evaluations: Sequence[Eval]) -> int:
    """Return the update of the lowest validation loss."""
    finite = [one for one in evaluations if math.isfinite(one.loss)]
    return max(1, min(finite, key=lambda one: one.loss).step)


def _listed(records: Sequence[Record], code: str) -> list[int]:
    """Return the rows that the last finding of `code` blames."""
    findings = [one for one in records if isinstance(one, Finding) and one.code == code]
    return findings[-1].rows if findings else []


def _f1(listed: Sequence[int], true: Sequence[int]) -> float:
    right = len(set(listed) & set(true))
    return 2 * right / max(1, len(set(listed)) + len(set(true)))


def _number(score: float) -> float:
    """Return `score`; what a broken model gives is the worst."""
    return score if math.isfinite(score) else -1.0


def _in_words(acted: Acted) -> str:
    return f"{acted.step} {acted.action.__struct_config__.tag}: {acted.detail}"

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable

import pytest

from tunewell.monitors import Watch, build
from tunewell.records import Eval, Finding, Record, Rewound, Started, Step


def observed(watch: Watch, records: list[Record]) -> list[Finding]:
    return [finding for record in records for finding in watch.observe(record)]


@pytest.fixture
def records(step: Callable[..., Step], started: Callable[..., Started]) -> list[Record]:
    rng = random.Random(0)
    well = [step(number, loss=max(0.05, rng.gauss(0.3, 0.08))) for number in range(1, 101)]
    sick = [step(number, loss=1.5) for number in range(101, 161)]
    return [started(), *well, *sick]


def test_packed_at_any_moment_it_goes_on_as_if_nothing_had_been(records: list[Record]) -> None:
    whole = observed(Watch(build({})), records)
    for cut in (0, 1, 60, 103, 120, len(records)):
        first, second = Watch(build({})), Watch(build({}))
        before = observed(first, records[:cut])
        second.unpack(json.loads(json.dumps(first.pack(), allow_nan=False)))
        assert before + observed(second, records[cut:]) == whole


def test_after_a_rollback_the_same_fault_is_told_again_and_stays_told(records: list[Record]) -> None:
    watch = Watch(build({}))
    observed(watch, records[:91])
    packed = json.loads(json.dumps(watch.pack()))
    first = observed(watch, records[91:110])
    assert watch.incident is not None
    watch.unpack(packed)
    assert observed(watch, [Rewound(step=109, to_step=90, commit=3, reason="rollback")]) == []
    assert watch.incident is None
    assert watch.verdicts()["loss_spike"].kind == "seen"
    assert [one.summary for one in observed(watch, records[91:110])] == [one.summary for one in first]


def test_a_rewind_that_restored_nothing_begins_anew(records: list[Record]) -> None:
    watch = Watch(build({}))
    observed(watch, records)
    observed(watch, [Rewound(step=160, to_step=0, commit=0, reason="rollback")])
    fresh = Watch(build({}))
    observed(fresh, records[:1])
    assert watch.pack()["states"] == fresh.pack()["states"]
    assert observed(watch, records[1:101]) == []


def test_an_exploding_gradient_that_ends_in_nan_is_one_incident(
    step: Callable[..., Step], started: Callable[..., Started]
) -> None:
    rng = random.Random(1)
    rows: list[Record] = [
        step(number, loss=rng.gauss(0.3, 0.05), gradient_norm=2 * math.exp(rng.gauss(0, 0.4)))
        for number in range(1, 101)
    ]
    rows += [step(number, loss=0.3 + number / 100, gradient_norm=500.0) for number in range(101, 109)]
    rows += [step(number, loss=math.nan, gradient_norm=math.nan, skipped=True) for number in range(109, 140)]
    found = [one for one in observed(Watch(build({})), [started(), *rows]) if one.severity != "info"]
    assert {one.evidence["incident"] for one in found} == {f"{found[0].code}@{found[0].step}"}
    assert len(found) <= 3


def test_a_monitor_that_was_not_packed_begins_anew(records: list[Record]) -> None:
    few, all_ = Watch(build({"stall": False})), Watch(build({}))
    observed(few, records[:50])
    all_.unpack(few.pack())
    assert all_.verdicts()["stall"].kind == "blind"
    assert all_.pack()["states"]["loss_spike"] == few.pack()["states"]["loss_spike"]


def test_findings_in_the_log_are_not_judged_again(
    records: list[Record], evaluation: Callable[..., Eval]
) -> None:
    watch = Watch(build({}))
    found = observed(watch, records)
    before = watch.pack()
    assert observed(watch, list(found)) == []
    assert watch.pack() == before

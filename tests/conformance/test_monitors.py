"""What every monitor must do, the user's own included: state is data, healthy runs are silence, faults are told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from sick_traces import FROM_THE_START, LATEST, ONSET, SICK
from traces import HEALTHY, Course, healthy, with_harder_rows, with_spike

from tunewell.monitors import Monitor, Watch, build
from tunewell.plugins import names
from tunewell.records import Finding, Record, decode, encode

MONITORS = names("monitors")
SETTINGS: dict[str, Any] = {
    name: {"metric": "accuracy"} for name in ("overfitting", "overtraining", "plateau")
}
SEEDS = range(5)


def findings_of(monitor: Monitor, records: list[Record]) -> list[Finding]:
    state, found = monitor.init(), []
    for record in records:
        state, findings = monitor.update(state, record)
        found += findings
    return found


def told(records: list[Record]) -> list[Finding]:
    watch = Watch(build(SETTINGS))
    return [finding for record in records for finding in watch.observe(record)]


def alarms(records: list[Record]) -> list[str]:
    return [f"{one.step} {one.code}: {one.summary}" for one in told(records) if one.severity != "info"]


@pytest.mark.parametrize("name", MONITORS)
def test_every_monitor_has_a_sick_trace(name: str) -> None:
    assert name in SICK
    assert name in LATEST


@pytest.mark.parametrize("name", MONITORS)
def test_state_is_json_and_update_changes_nothing_it_was_given(name: str) -> None:
    monitor = build(SETTINGS)[name]
    records = SICK[name](0)
    state, live, stored = monitor.init(), [], []
    packed = json.dumps(state, allow_nan=False)
    for record in records:
        before = copy.deepcopy(state)
        after, findings = monitor.update(state, record)
        assert state == before
        live += findings
        restored, findings = monitor.update(json.loads(packed), record)
        stored += findings
        packed = json.dumps(restored, allow_nan=False)
        state = after
    assert json.loads(packed) == json.loads(json.dumps(state))
    assert repr(stored) == repr(live)  # by repr, since a NaN in the evidence is not equal to itself


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MONITORS)
def test_it_fires_on_its_sick_trace_near_the_onset(name: str, seed: int) -> None:
    found = findings_of(build(SETTINGS)[name], SICK[name](seed))
    assert found, "silent"
    first = found[0]
    assert first.code == first.monitor == name
    earliest = 1 if name in FROM_THE_START else ONSET
    assert earliest <= first.step <= LATEST[name]


@pytest.mark.parametrize("name", MONITORS)
def test_findings_explain_themselves_and_survive_the_log(name: str) -> None:
    finding = findings_of(build(SETTINGS)[name], SICK[name](0))[0]
    for sentence in (finding.summary, finding.meaning):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
    assert any(character.isdigit() for character in finding.summary)
    assert finding.causes
    assert finding.advice
    assert 1 <= finding.evidence["onset"] <= finding.step
    logged = decode(encode(finding))
    assert isinstance(logged, Finding)
    assert encode(logged) == encode(finding)


@pytest.mark.parametrize("name", MONITORS)
def test_verdicts_say_whether_it_was_looked_at(name: str) -> None:
    monitor = build(SETTINGS)[name]

    def verdict(records: list[Record]) -> Any:
        state = monitor.init()
        for record in records:
            state, _ = monitor.update(state, record)
        return monitor.verdict(state)

    assert verdict([]).kind == "blind"
    assert "could not be checked" in verdict([]).text
    assert verdict(SICK[name](0)).kind == "seen"
    assert verdict(SICK[name](0)).text
    fine = verdict(healthy(0, Course(pace=150.0, steps=400)))  # gaining to its end
    assert fine.kind == "fine", fine.text


@pytest.mark.parametrize("course", HEALTHY)
def test_healthy_look_alikes_raise_no_alarm(course: str) -> None:
    assert [alarms(healthy(seed, HEALTHY[course])) for seed in SEEDS] == [[]] * len(SEEDS)


@pytest.mark.parametrize(
    "course", ["plain", "batches of two rows", "batches of one row", "early convergence"]
)
def test_a_spike_that_heals_and_harder_rows_raise_no_alarm(course: str) -> None:
    for seed in SEEDS:
        records = healthy(seed, HEALTHY[course])
        assert alarms(with_spike(records, 250, 3.0)) == []
        assert alarms(with_harder_rows(records, 250, 1.5)) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MONITORS)
def test_one_fault_is_one_story(name: str, seed: int) -> None:
    """All monitors together: the right one speaks, and whatever else speaks is joined to the same incident."""
    found = [finding for finding in told(SICK[name](seed)) if finding.severity != "info"]
    if name in {"plateau", "overtraining"}:  # no sickness
        assert found == []
        return
    assert name in {finding.code for finding in found}
    assert len(found) <= 3
    first = found[0]
    assert all(
        one.evidence.get("incident", "").startswith(first.code) for one in found[1:] if one.code != first.code
    )

from __future__ import annotations

import json
from typing import Any

import pytest

from tunewell.actions import ScaleLearningRate
from tunewell.monitors._incidents import INFO_UPDATES, QUIET_UPDATES, SETTLING_UPDATES, Incidents
from tunewell.records import Effect, Finding, Severity

EXPLAINS = {
    "too_high": frozenset({"spike", "diverged", "nan", "stuck"}),
    "spike": frozenset({"diverged", "nan"}),
    "diverged": frozenset({"spike", "nan"}),
    "nan": frozenset[str](),
    "bad_data": frozenset({"stuck"}),
}


def finding(code: str, step: int, severity: Severity = "warning", **evidence: Any) -> Finding:
    return Finding(
        step=step, monitor=code, code=code, severity=severity, summary="It was.", meaning="It is.",
        evidence=evidence, cursor=step,
    )  # fmt: skip


def effect(code: str, step: int, helped: bool | None) -> Effect:
    return Effect(
        step=step, acted_step=step - 20, action=ScaleLearningRate(0.5), code=code, helped=helped,
        measure="training loss", before=1.0, after=0.5, text="It is.",
    )  # fmt: skip


def told(*findings: Finding) -> list[str]:
    incidents = Incidents(EXPLAINS)
    passed = [news for one in findings if (news := incidents.tell(one)) is not None]
    return [f"{one.code}@{one.step} {one.evidence.get('incident', '-')}" for one in passed]


def pass_quietly(incidents: Incidents, updates: int, pace: int = 0) -> None:
    for _ in range(updates):
        incidents.age(pace)


@pytest.fixture
def incidents() -> Incidents:
    return Incidents(EXPLAINS)


def test_the_same_again_is_folded() -> None:
    assert told(finding("spike", 10), finding("spike", 11), finding("spike", 12)) == ["spike@10 spike@10"]
    assert len(told(finding("spike", 10), finding("spike", 11, again=[7]))) == 2


def test_info_silences_nothing_but_itself_for_a_while() -> None:
    later = 10 + INFO_UPDATES
    assert told(
        finding("spike", 10, "info"), finding("spike", 12, "info"), finding("spike", later, "info"),
        finding("spike", later + 1),
    ) == ["spike@10 -", f"spike@{later} -", f"spike@{later + 1} spike@{later + 1}"]  # fmt: skip
    assert told(finding("spike", 10), finding("nan", 12, "info")) == ["spike@10 spike@10"]


def test_a_consequence_is_told_only_if_it_is_worse() -> None:
    assert told(finding("spike", 10), finding("nan", 12)) == ["spike@10 spike@10"]
    assert told(finding("spike", 10), finding("nan", 12, "critical")) == [
        "spike@10 spike@10",
        "nan@12 spike@10",
    ]


def test_a_cause_that_comes_later_is_told_once() -> None:
    cause = finding("too_high", 12, "critical")
    assert told(finding("diverged", 10, "critical"), cause, cause) == [
        "diverged@10 diverged@10",
        "too_high@12 diverged@10",
    ]


def test_what_is_unrelated_is_its_own_incident_until_a_cause_ties_it(incidents: Incidents) -> None:
    for one in (finding("stuck", 5), finding("spike", 10), finding("stall", 11)):
        assert incidents.tell(one) is not None
    assert [one.id for one in incidents.known] == ["stuck@5", "spike@10", "stall@11"]
    news = incidents.tell(finding("too_high", 20, "critical"))
    assert news is not None
    assert (news.evidence["incident"], news.evidence["cause"]) == ("stuck@5", "too_high")
    first, other = incidents.known
    assert first == ("stuck@5", "too_high", ["stuck", "spike", "too_high"], "critical", 5)
    assert other.codes == ["stall"]


def test_of_faults_that_bring_each_other_about_the_first_is_the_cause(incidents: Incidents) -> None:
    for code in ("nan", "diverged", "spike"):
        incidents.tell(finding(code, 10))
    assert incidents.known[0].cause == "diverged"


def test_a_joined_finding_has_the_incidents_onset(incidents: Incidents) -> None:
    incidents.tell(finding("spike", 10, onset=8))
    news = incidents.tell(finding("diverged", 40, "critical"))
    assert news is not None
    assert news.evidence["onset"] == 8


def test_an_incident_closes_after_quiet_updates_and_then_needs_longer(incidents: Incidents) -> None:
    incidents.tell(finding("spike", 10))
    pass_quietly(incidents, QUIET_UPDATES)
    assert incidents.open
    pass_quietly(incidents, 1)
    assert incidents.open is None
    assert incidents.tell(finding("spike", 70)) is not None
    pass_quietly(incidents, 2 * QUIET_UPDATES)
    assert incidents.open == "spike@70"


def test_what_only_rare_looks_can_see_stays_open_between_them(incidents: Incidents) -> None:
    incidents.tell(finding("spike", 10))
    pass_quietly(incidents, 250, pace=100)
    assert incidents.open
    pass_quietly(incidents, 1, pace=100)
    assert incidents.open is None


def test_after_an_action_that_helped_a_second_fault_is_told(incidents: Incidents) -> None:
    incidents.tell(finding("spike", 10))
    incidents.settle(effect("spike", 40, helped=True))
    assert incidents.tell(finding("spike", 41, onset=10)) is None  # still the old one in the window
    assert incidents.tell(finding("spike", 42, onset=41)) is not None
    incidents.settle(effect("spike", 60, helped=True))
    pass_quietly(incidents, SETTLING_UPDATES + 1)
    assert incidents.open is None


@pytest.mark.parametrize(("helped", "times"), [(False, 2), (None, 1)])
def test_what_did_not_help_has_it_told_again_once(
    incidents: Incidents, helped: bool | None, times: int
) -> None:
    passed = [incidents.tell(finding("spike", 10))]
    incidents.settle(effect("spike", 40, helped))
    passed += [incidents.tell(finding("spike", step, onset=10)) for step in (41, 42)]
    assert sum(one is not None for one in passed) == times


def test_packed_and_unpacked_it_goes_on_and_what_was_undone_stays_known(incidents: Incidents) -> None:
    incidents.tell(finding("spike", 10))
    packed = json.loads(json.dumps(incidents.pack()))
    incidents.tell(finding("stall", 20))
    incidents.unpack(packed)
    assert incidents.tell(finding("spike", 12)) is None
    assert [one.id for one in incidents.known] == ["spike@10", "stall@20"]
    assert incidents.open == "spike@10"


def test_what_comes_at_once_with_a_lasting_fault_is_folded_and_what_comes_late_is_told(
    incidents: Incidents,
) -> None:
    incidents.tell(finding("bad_data", 1, lasting=True))
    pass_quietly(incidents, QUIET_UPDATES)
    assert incidents.tell(finding("stuck", 1 + QUIET_UPDATES)) is None
    again = Incidents(EXPLAINS)
    again.tell(finding("bad_data", 1, lasting=True))
    pass_quietly(again, QUIET_UPDATES + 1)
    assert again.tell(finding("stuck", 2 + QUIET_UPDATES)) is not None


def test_what_does_not_pass_by_itself_stays_open_until_an_action_helps(incidents: Incidents) -> None:
    incidents.tell(finding("bad_data", 1, lasting=True))
    pass_quietly(incidents, 500)
    assert incidents.open is None  # it speaks against no commit
    late = incidents.tell(finding("stuck", 501))
    assert late is not None
    assert (late.evidence["incident"], late.evidence["cause"]) == ("bad_data@1", "bad_data")
    assert incidents.tell(finding("stuck", 502)) is None
    assert incidents.known[0].codes == ["bad_data", "stuck"]
    incidents.settle(effect("bad_data", 520, helped=True))
    pass_quietly(incidents, SETTLING_UPDATES + 1)
    assert incidents.tell(finding("stuck", 600)) is not None

from __future__ import annotations

from tunewell.monitors import _incidents
from tunewell.records import Finding, Severity

EXPLAINS = {
    "too_high": frozenset({"spike", "diverged", "nan"}),
    "spike": frozenset({"diverged", "nan"}),
    "diverged": frozenset({"spike", "nan"}),
    "nan": frozenset[str](),
}


def finding(code: str, step: int, severity: Severity = "warning") -> Finding:
    return Finding(step=step, monitor=code, code=code, severity=severity, summary="It was.", meaning="It is.")


def told(*findings: Finding) -> list[str]:
    incidents, passed = [], []
    for one in findings:
        incidents, news = _incidents.told(incidents, one, EXPLAINS)
        if news is not None:
            passed.append(f"{news.code}@{news.step} {news.evidence.get('incident', '-')}")
    return passed


def test_the_same_again_is_folded() -> None:
    assert told(finding("spike", 10), finding("spike", 11), finding("spike", 12)) == ["spike@10 -"]


def test_info_silences_nothing() -> None:
    assert len(told(finding("spike", 10, "info"), finding("spike", 30, "info"), finding("spike", 31))) == 3


def test_a_consequence_is_told_only_if_it_is_worse() -> None:
    assert told(finding("spike", 10), finding("nan", 12)) == ["spike@10 -"]
    assert told(finding("spike", 10), finding("nan", 12, "critical")) == ["spike@10 -", "nan@12 spike@10"]


def test_a_cause_that_comes_later_is_told() -> None:
    assert told(finding("diverged", 10, "critical"), finding("too_high", 12, "critical")) == [
        "diverged@10 -",
        "too_high@12 diverged@10",
    ]


def test_what_is_unrelated_is_its_own_incident() -> None:
    assert told(finding("spike", 10), finding("stall", 11)) == ["spike@10 -", "stall@11 -"]
    assert told(finding("nan", 10), finding("spike", 11)) == ["nan@10 -", "spike@11 nan@10"]


def test_a_joined_finding_has_the_incidents_onset() -> None:
    incidents, _ = _incidents.told([], finding("spike", 10), EXPLAINS)
    _, news = _incidents.told(incidents, finding("diverged", 40, "critical"), EXPLAINS)
    assert news is not None
    assert news.evidence["onset"] == 10


def test_an_incident_closes_after_quiet_updates() -> None:
    incidents, _ = _incidents.told([], finding("spike", 10), EXPLAINS)
    for _ in range(_incidents.QUIET_UPDATES):
        incidents = _incidents.aged(incidents)
    assert incidents
    assert _incidents.aged(incidents) == []

from __future__ import annotations

from pathlib import Path

import pytest
from sites import started, step, write_run

from tunewell.records import Finding
from tunewell.runs.health import health
from tunewell.runs.incidents import Incident, incidents
from tunewell.runs.summary import Summary


def summary(status: str = "running", **more: object) -> Summary:
    return Summary(name="a", path="a", status=status, step=310, total_steps=454, **more)  # type: ignore[arg-type]


def incident(severity: str = "warning", recovered: bool | None = None) -> Incident:
    finding = Finding(
        step=1_840, monitor="loss_spike", code="loss_spike", severity=severity, summary="s", meaning="m"
    )  # type: ignore[arg-type]
    (found,), _ = incidents([finding])
    return Incident(**{**{f: getattr(found, f) for f in found.__struct_fields__}, "recovered": recovered})


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [
        ("running", "good", "Healthy · step 310 of 454"),
        ("completed", "good", "Completed · step 310 of 454"),
        ("interrupted", "off", "Interrupted · step 310 of 454"),
        ("crashed", "bad", "Died without a word · step 310 of 454"),
        ("failed", "bad", "Failed · step 310 of 454"),
    ],
)
def test_a_run_without_trouble(status: str, level: str, words: str) -> None:
    told = health(summary(status), [])
    assert (told.level, told.words) == (level, words)


def test_trouble_is_named_with_its_step() -> None:
    told = health(summary(), [incident()])
    assert told.level == "attention"
    assert told.headline == "Needs attention: loss spiked at step 1,840 · step 310 of 454"
    assert health(summary(), [incident("critical")]).level == "bad"


def test_what_is_over_is_no_trouble_but_told() -> None:
    told = health(summary(), [incident(recovered=True)])
    assert told.level == "good"
    assert "recovered: loss spiked" in told.headline


def test_a_list_counts_findings() -> None:
    told = health(summary(findings={"warning": 1, "critical": 2}))
    assert told.level == "bad"
    assert "2 critical and 1 warning findings" in told.headline


def test_a_paused_run_says_so() -> None:
    assert health(summary(), [], paused=True).words.startswith("Paused")
    assert health(summary("completed"), [], paused=True).words.startswith("Completed")


def test_a_run_that_has_not_begun(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [started(), step(1)])
    assert health(Summary(name="a", path="a", status="crashed"), []).words == "Died without a word"

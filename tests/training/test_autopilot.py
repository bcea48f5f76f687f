"""Autopilot, questions to people and dry runs, on a real run of a tiny model with a planted fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from conftest import measured, until
from tunewell import schedules
from tunewell.actions import Rollback, SaveNow, ScaleLearningRate
from tunewell.cli import main
from tunewell.recipe import Recipe
from tunewell.records import (
    Acted,
    Answered,
    Committed,
    Effect,
    Ended,
    Eval,
    Finding,
    Note,
    Proposed,
    Record,
    Refused,
    Rewound,
    Step,
)
from tunewell.runs import inbox
from tunewell.runs import log as logs
from tunewell.runs.folder import RunFolder
from tunewell.runs.story import as_text, why
from tunewell.training import driver

Make = Callable[..., Recipe]
R = TypeVar("R", bound=Record)
KINDS = ["loss_spike", "learning_rate_too_high", "divergence"]


@pytest.fixture
def rate_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the schedule give a hundred times its rate from step 40 on."""
    honest = schedules.factor

    def factor(name: str, step: int, total: int, warmup: int) -> float:
        return honest(name, step, total, warmup) * (100.0 if step >= 40 else 1.0)

    monkeypatch.setattr(schedules, "factor", factor)


def of(records: list[Record], kind: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


def recipe(tiny_recipe: Make, **changes: object) -> Recipe:
    return tiny_recipe(num_epochs=10, eval_steps=20, save_steps=20, self_tests=False, **changes)


def test_autopilot_mends_a_rate_that_jumped_and_measures_that_it_helped(
    tiny_recipe: Make, rate_jumps: None, tmp_path: Path
) -> None:
    records = list(driver.train(recipe(tiny_recipe, policy="autopilot")))
    [end] = of(records, Ended)
    assert end.status == "completed"
    assert of(records, Eval)[-1].metrics["accuracy"] > 0.9
    first, *_ = of(records, Acted)
    assert isinstance(first.action, Rollback)
    assert (first.by, first.outcome, first.code in KINDS) == ("autopilot", "applied", True)
    assert first.remedy == "rollback_and_lower_rate"
    assert first.undo == ScaleLearningRate(1 / first.action.learning_rate_factor)
    last = of(records, Effect)[-1]
    assert last.helped is True
    assert last.after is not None
    assert last.after < 0.5
    story = why(list(logs.read(tmp_path / "run" / "log.jsonl")))
    assert story.incidents[-1].recovered is True
    assert "it helped" in as_text(story)


@pytest.mark.slow
def test_an_interrupted_autopilot_goes_on_exactly(
    tiny_recipe: Make, rate_jumps: None, tmp_path: Path
) -> None:
    """Cut while the effect of an action is being measured: the same is measured, decided and trained."""
    list(driver.train(recipe(tiny_recipe, policy="autopilot")))
    whole = tmp_path / "whole"
    (tmp_path / "run").rename(whole)
    records = driver.train(recipe(tiny_recipe, policy="autopilot"))
    next(record for record in records if isinstance(record, Rewound))
    next(record for record in records if isinstance(record, Committed) and record.step == 40)
    until(records, 55)
    list(driver.resume(tmp_path / "run"))
    assert measured(tmp_path / "run" / "log.jsonl") == measured(whole / "log.jsonl")

    def judged(folder: Path) -> list[tuple[object, ...]]:
        log = list(logs.read(folder / "log.jsonl"))
        done = [(one.step, one.action, one.remedy, one.outcome) for one in of(log, Acted)]
        return [*done, *((one.step, one.before, one.after, one.text) for one in of(log, Effect))]

    assert judged(tmp_path / "run") == judged(whole)
    assert len(judged(whole)) > 1


def approving(records: Iterator[Record], run: Path, verb: str) -> list[Record]:
    """Answer the run's first question from the command line as soon as it is asked; return all records."""
    seen: list[Record] = []
    for record in records:
        seen.append(record)
        if isinstance(record, Proposed) and record.id == 1:
            assert main([verb, str(run), "1"]) == 0
    return seen


def test_what_a_person_approves_is_done_and_measured(
    tiny_recipe: Make, rate_jumps: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = recipe(tiny_recipe, policy="observe", on=dict.fromkeys(KINDS, "ask"))
    records = approving(driver.train(asking), tmp_path / "run", "approve")
    assert "Approved: proposal 1 of run, to roll back" in capsys.readouterr().err
    [answered] = of(records, Answered)
    acted, *_ = of(records, Acted)
    assert (acted.by, acted.outcome) == (answered.by, "applied")
    assert acted.action == of(records, Proposed)[0].action
    assert of(records, Effect)[0].helped is True
    assert of(records, Eval)[-1].metrics["accuracy"] > 0.9


@pytest.mark.slow
def test_a_run_goes_on_without_answers_and_after_a_no(
    tiny_recipe: Make, rate_jumps: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = recipe(tiny_recipe, policy="observe", on={"learning_rate_too_high": "ask"})
    records = approving(driver.train(asking), tmp_path / "run", "decline")
    assert [one.approved for one in of(records, Answered)] == [False]
    assert of(records, Acted) == []
    assert of(records, Ended)[0].status == "completed"
    assert main(["approve", str(tmp_path / "run")]) == 2
    assert "nothing can be done about it" in capsys.readouterr().err
    assert main(["why", str(tmp_path / "run")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "observe asked whether to roll back" in told
    assert "declined to roll back" in told


@pytest.mark.slow
def test_a_dry_run_does_nothing(tiny_recipe: Make, rate_jumps: None, tmp_path: Path) -> None:
    shown = list(driver.train(recipe(tiny_recipe, policy="autopilot", dry_run_actions=True)))
    assert {one.outcome for one in of(shown, Acted)} == {"dry_run"}
    watched = tmp_path / "shown"
    (tmp_path / "run").rename(watched)
    list(driver.train(recipe(tiny_recipe, policy="observe")))
    assert measured(watched / "log.jsonl") == measured(tmp_path / "run" / "log.jsonl")


def test_a_person_may_ask_for_anything_at_any_time(tiny_recipe: Make, tmp_path: Path) -> None:
    records = driver.train(tiny_recipe(num_epochs=2, save_steps=None))
    seen: list[Record] = []
    for record in records:
        seen.append(record)
        if isinstance(record, Step) and record.step == 5:
            inbox.send(RunFolder(tmp_path / "run"), "anna", action=ScaleLearningRate(0.5))
            inbox.send(RunFolder(tmp_path / "run"), "anna", action=SaveNow())
            inbox.send(RunFolder(tmp_path / "run"), "anna", answer=inbox.Reply(proposal=9, approve=True))
    scaled, saved = of(seen, Acted)
    assert (scaled.by, scaled.step, scaled.action) == ("anna", 5, ScaleLearningRate(0.5))
    assert saved.outcome == "applied"
    assert any(one.reason == "action" and one.step == 5 for one in of(seen, Committed))
    assert [one.reason for one in of(seen, Refused)] == ["the run does not ask 9, or it was answered"]
    rates = {step.step: step.learning_rate for step in of(seen, Step)}
    assert rates[6] < 0.6 * rates[5]


def test_what_is_asked_of_the_inbox_is_taken_up_again_after_a_crash(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    """What a crash took from the log is read from the inbox again, once."""
    records = driver.train(tiny_recipe(num_epochs=2, save_steps=4))
    for record in records:
        if isinstance(record, Step) and record.step == 5:
            inbox.send(RunFolder(tmp_path / "run"), "anna", action=ScaleLearningRate(0.5))
        if isinstance(record, Acted):
            break
    records.close()  # type: ignore[attr-defined]
    list(driver.resume(tmp_path / "run"))
    log = list(logs.read(tmp_path / "run" / "log.jsonl"))
    assert [(one.by, one.action) for one in of(log, Acted)] == [("anna", ScaleLearningRate(0.5))]


def test_bad_answers_to_on_stop_nothing_half_way(
    tiny_recipe: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    data = f"data: {{train: {tmp_path / 'train.jsonl'}}}\n"
    tiny_recipe()
    path.write_text(f"{data}on:\n  loss_spike: ignore\n  los_spike: rollback\n", encoding="utf-8")
    assert main(["check", str(path), "--quick"]) == 2
    told = capsys.readouterr().err
    assert "did you mean `loss_spike`" in told
    assert f"{path}:4" in told


@pytest.mark.slow
def test_an_ignored_fault_is_not_told(tiny_recipe: Make, rate_jumps: None) -> None:
    ignoring = recipe(tiny_recipe, policy="observe", on=dict.fromkeys(KINDS, "ignore"))
    records = list(driver.train(ignoring))
    assert not {one.code for one in of(records, Finding)} & set(KINDS)
    notes = [one.text for one in of(records, Note) if one.topic == "verdict"]
    assert "divergence: could not be checked: the recipe switched it off" in notes

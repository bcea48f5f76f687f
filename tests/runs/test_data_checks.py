"""What was looked for in the rows and what the self-tests came to, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.cli._events import event
from tunewell.document import dump_recipe
from tunewell.inspections import DataCheck, DataChecked, Tested
from tunewell.recipe import Recipe
from tunewell.runs.data_checks import in_brief, in_full

CHECKED = DataChecked(
    checks={
        "duplicates": DataCheck(count=3, of=1200, detail="a.csv:3 = b.csv:9."),
        "leakage": DataCheck(of=1200),
        "classes": DataCheck(count=2, of=1200, numbers={"good": 600.0, "bad": 600.0}),
        "truncated_targets": DataCheck(why_not="targets are not sequences"),
        "order": DataCheck(of=1200, numbers={"purity": 0.56, "expected": 0.57}),
        "signal": DataCheck(count=1200, of=1200, numbers={"accuracy": 0.74, "chance": 0.5}),
    }
)


def test_a_line_tells_what_was_found() -> None:
    found = "3 stood before; a simple model tells 74% of the targets, a guess 50%"
    assert in_brief(CHECKED) == f"data: 1,200 training rows looked at: {found}"
    assert in_brief(DataChecked(checks={"leakage": DataCheck(of=7)})) == "data: 7 training rows looked at"
    regression = DataChecked(checks={"signal": DataCheck(of=9, numbers={"accuracy": 0.3, "chance": 0.0})})
    assert in_brief(regression).endswith("a simple model's answers correlate with the targets by 0.30")


def test_all_checks_are_told_and_what_could_not_be_made_is_last() -> None:
    assert in_full(CHECKED) == [
        ("duplicates:", "3 of 1,200 rows stood before (a.csv:3 = b.csv:9)"),
        ("leakage:", "none of 1,200 rows stand in an evaluation split too"),
        ("order:", "in the mean batch 56% are of one class; a random order gives 57%"),
        ("signal:", "a simple model tells 74% of the targets, a guess 50%"),
        ("not checked:", "truncated targets"),
    ]


def test_only_failed_self_tests_are_events() -> None:
    failed = Tested(name="fits_one_batch", passed=False, detail="16 rows: loss 0.7 → 0.6.")
    assert event(failed) == ("▲ self-test fits one batch: 16 rows: loss 0.7 → 0.6.", "yellow")
    assert event(Tested(name="repeats", passed=True, detail="")) is None
    assert event(Tested(name="repeats", passed=None, detail="Not made: memory ran out.")) is None


def test_check_and_train_tell_of_the_rows(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.yaml"
    recipe = tiny_recipe(num_epochs=1, self_tests=True)
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    (tmp_path / "train.jsonl").write_text("\n".join([*lines, *lines[:60]]) + "\n")
    file.write_text(
        dump_recipe(recipe.model_copy(update={"data": recipe.data.model_copy(update={"leakage": "drop"})}))
    )
    assert cli.main(["check", str(file), "--quick"]) == 0
    told = capsys.readouterr()
    assert "rows stood before" in told.out
    assert "duplicates: " in told.err, "the monitors judge what was found before anything is trained"
    assert cli.main(["train", str(file)]) == 0
    told = capsys.readouterr()
    assert "training rows looked at: " in told.err
    assert "· self-tests: 9 passed" in told.err

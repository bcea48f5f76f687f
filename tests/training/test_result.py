"""The end of a run: a model that can't be scored is a result all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tunewell
from tunewell.recipe import Recipe
from tunewell.records import Ended, Note
from tunewell.training import driver, result
from tunewell.training.evaluate import Outcome


def test_a_result_that_cant_be_scored_is_exported_and_says_so(
    tiny_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> tuple[Outcome, float]:
        raise ValueError("no score for this")

    monkeypatch.setattr(result, "evaluation", fail)
    *records, last = driver.train(tiny_recipe(max_steps=2), tmp_path)
    assert isinstance(last, Ended)
    assert last.status == "completed"
    notes = [record.text for record in records if isinstance(record, Note) and record.topic == "result"]
    assert "the result could not be scored on the validation rows: ValueError: no score for this" in notes
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "could not be scored: ValueError: no score for this" in card
    assert tunewell.load(tmp_path / "run").predict(["lovely film"])[0].label in ("good", "bad")

"""Planted faults are noticed, acted on, survived and explained, on a real run of a tiny model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from torch import nn

from tunewell import schedules
from tunewell.actions import ExcludeRows, Rollback
from tunewell.cli import main
from tunewell.recipe import Recipe
from tunewell.records import Acted, Committed, Ended, Eval, Finding, Record, Rewound, Step
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.runs.story import why
from tunewell.tasks._protocol import Batch, LossSum
from tunewell.tasks.text_classification import TextClassification
from tunewell.training import driver

Make = Callable[..., Recipe]
R = TypeVar("R", bound=Record)
UNKNOWN = 1
"""Token id of a word that the tiny tokenizer does not know."""


@pytest.fixture
def inf_for_unknown_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every row with a word that the tokenizer does not know have an infinite loss."""
    honest = TextClassification.loss

    def loss(task: TextClassification, model: nn.Module, batch: Batch) -> LossSum:
        result = honest(task, model, batch)
        sick = (batch.inputs["input_ids"] == UNKNOWN).any(dim=1)
        per_row = result.per_row.masked_fill(sick, math.inf)
        return LossSum(result.sum * math.inf if sick.any() else result.sum, per_row, result.outputs)

    monkeypatch.setattr(TextClassification, "loss", loss)


def plant_rate(monkeypatch: pytest.MonkeyPatch, since: int, times: float) -> None:
    """Multiply the schedule's factor by `times` from step `since` on."""
    honest = schedules.factor

    def factor(name: str, step: int, total: int, warmup: int) -> float:
        return honest(name, step, total, warmup) * (times if step >= since else 1.0)

    monkeypatch.setattr(schedules, "factor", factor)


def of(records: list[Record], kind: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


def test_a_rate_a_hundred_times_too_high_is_survived(
    tiny_recipe: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant_rate(monkeypatch, since=60, times=100.0)
    records = list(driver.train(tiny_recipe(num_epochs=15, eval_steps=40, save_steps=20)))
    first = of(records, Finding)[0]
    assert first.code in {"loss_spike", "learning_rate_too_high"}
    assert 60 < first.step <= 70
    acted, *_ = [record for record in of(records, Acted) if isinstance(record.action, Rollback)]
    rewound, *_ = of(records, Rewound)
    [end] = of(records, Ended)
    assert isinstance(acted.action, Rollback)
    assert (acted.outcome, acted.by) == ("applied", "cautious")
    assert (rewound.reason, rewound.to_step) == ("rollback", 60)
    assert end.status == "completed"
    assert of(records, Eval)[-1].metrics["accuracy"] > 0.9

    place = records.index(rewound)
    before, after = of(records[:place], Step)[-1], of(records[place:], Step)[0]
    assert (before.step, after.step) == (rewound.step, 61)
    assert after.cursor == before.cursor + 1, "the batches that led here are passed over"
    factor = acted.action.learning_rate_factor
    assert after.learning_rate == pytest.approx(factor * of(records[:place], Step)[60].learning_rate)
    commits = of(records[place:], Committed)
    assert (commits[0].step, commits[0].reason) == (60, "action"), "saved at once"

    story = why(list(logs.read(tmp_path / "run" / "log.jsonl")))
    assert first.code in {code for incident in story.incidents for code in incident.codes}
    assert story.incidents[-1].recovered
    assert any("learning rate" in deed.detail for incident in story.incidents for deed in incident.deeds)


def test_a_rollback_brings_back_the_weights_of_its_checkpoint_bit_for_bit(
    tiny_recipe: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant_rate(monkeypatch, since=60, times=100.0)
    records = driver.train(tiny_recipe(num_epochs=15, eval_steps=40, save_steps=20, save_total_limit=9))
    acted = next(record for record in records if isinstance(record, Acted))
    assert isinstance(acted.action, Rollback)
    factor = acted.action.learning_rate_factor
    rewound = next(record for record in records if isinstance(record, Rewound))
    next(record for record in records if isinstance(record, Committed) and record.reason == "action")
    records.close()  # type: ignore[attr-defined]
    by_number = {commit.commit: commit for commit in checkpoints.commits(tmp_path / "run" / "checkpoints")}
    origin, saved = by_number[rewound.commit], by_number[max(by_number)]
    assert saved.facts["reason"] == "action"
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (origin.folder / name).read_bytes() == (saved.folder / name).read_bytes()
    then, now = (json.loads((commit.folder / "state.json").read_text()) for commit in (origin, saved))
    assert now["progress"] == then["progress"]
    assert now["adjustments"]["cursor"] == then["adjustments"]["cursor"] + rewound.step - rewound.to_step
    assert now["adjustments"]["rate_factor"] == factor


@pytest.mark.parametrize("policy", ["cautious", "observe"])
def test_a_row_of_infinite_loss_is_refused_named_and_excluded(
    tiny_recipe: Make,
    inf_for_unknown_words: None,
    write_reviews: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    policy: str,
) -> None:
    path = write_reviews()
    *rows, last = path.read_text().splitlines()
    sick = json.dumps({"text": f"xyzzy {json.loads(last)['text']}", "label": json.loads(last)["label"]})
    path.write_text("\n".join([*rows, last, sick]) + "\n")
    data = {"train": str(path), "validation": str(write_reviews("validation.jsonl", count=32, seed=5))}
    recipe = tiny_recipe({**data, "leakage": "drop"}, num_epochs=8, policy=policy)
    records = list(driver.train(recipe))
    [end] = of(records, Ended)
    assert end.status == "completed"
    assert of(records, Eval)[-1].metrics["accuracy"] > 0.9
    refused = [step for step in of(records, Step) if step.skipped]
    assert {tuple(row for row, _ in step.worst_rows) for step in refused} == {(160,)}
    assert of(records, Finding)[0].rows == [160]
    excluded = [record for record in of(records, Acted) if isinstance(record.action, ExcludeRows)]
    story = why(list(logs.read(tmp_path / "run" / "log.jsonl")))
    assert story.incidents[0].code == "non_finite"
    assert story.incidents[0].rows == [160]
    assert main(["why", str(tmp_path / "run")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Rows to blame row 160 had an infinite loss at step" in told
    assert "“xyzzy " in told, "the row is shown"
    assert "train.jsonl:161), loss in the last" in told
    if policy == "observe":
        assert len(refused) == 8
        assert excluded == []
        return
    assert len(refused) == 2, "once may be chance, twice is the row"
    [exclusion] = excluded
    assert exclusion.action == ExcludeRows([160])
    assert any("rows left out" in deed.detail for deed in story.incidents[0].deeds)
    assert of(records, Rewound) == []

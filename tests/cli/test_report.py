"""`tunewell check`: what a training will cost, and nothing of that in a hurry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.cli._report import costs
from tunewell.document import dump_recipe
from tunewell.recipe import Recipe
from tunewell.training.estimate import Estimate, Seconds

GIB = 2**30


@pytest.fixture
def file(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> str:
    """Return the name of a recipe's file."""
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(tiny_recipe()), encoding="utf-8")
    return str(path)


def test_costs_are_told_and_counted(file: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["check", file]) == 0
    told = capsys.readouterr()
    assert all(f"{what}: " in told.out for what in ("time", "memory", "disk"))
    assert "A few updates are measured" in told.err
    assert cli.main(["train", file, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    assert found["total_seconds"] == pytest.approx(sum(found["seconds"].values()))
    assert sorted(tmp_path.rglob("*")) == before


def test_quick_leaves_the_costs_out(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", file, "--quick", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["estimate"] is None
    assert "measured" not in told.err


def test_costs_in_words() -> None:
    expected = Estimate(
        seconds=Seconds(start=4, training=85, evaluation=9, checkpoints=2),
        total_seconds=100,
        memory_bytes=int(1.4 * GIB),
        memory_limit_bytes=21 * GIB,
        checkpoint_bytes=GIB // 4,
        disk_bytes=int(1.1 * GIB),
        free_disk_bytes=60 * GIB,
        measured="12 updates on cpu, bf16",
        warnings=[],
    )
    assert costs(expected) == [
        ("time:", "about 1 min 40 s (start 4 s, training 1 min 25 s, evaluation 9 s, checkpoints 2 s)"),
        ("memory:", "1.4 GiB at most, of 21.0 GiB"),
        ("disk:", "1.1 GiB at most, of 60.0 GiB free"),
    ]

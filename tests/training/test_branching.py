"""A branch goes on from an old point as its parent did, but for what was changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from conftest import measured, until
from tunewell.problems import RunError
from tunewell.recipe import Recipe
from tunewell.records import Ended, Eval, Note, Record, Rewound, Started, Step
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.training import driver

Make = Callable[..., Recipe]
R = TypeVar("R", bound=Record)


def of(records: list[Record], kind: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


@pytest.fixture
def parent(tiny_recipe: Make, tmp_path: Path) -> Path:
    """Return the folder of a whole run of 16 steps that kept every checkpoint."""
    recipe = tiny_recipe(
        save_steps=3, save_total_limit=50, dropout=0.1, load_best_model_at_end=False, name="run"
    )
    list(driver.train(recipe))
    return tmp_path / "run"


def test_without_a_change_it_is_its_parent_bit_for_bit(parent: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    records = list(driver.branch("run@9", root=tmp_path))
    [started], [end] = of(records, Started), of(records, Ended)
    assert (started.run, started.parent) == ("run-2", "run@9")
    assert (end.status, end.step) == ("completed", 16)
    assert weights(tmp_path / "run-2") == weights(parent)
    own, theirs = ([r for r in measured(run / "log.jsonl") if isinstance(r, Step)] for run in
                   (tmp_path / "run-2", parent))  # fmt: skip
    assert own == theirs[9:]
    after = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    assert {path for path in before if path.name != "lock" and after[path] != before[path]} == set()


def test_a_change_holds_from_the_point_on(parent: Path, tmp_path: Path) -> None:
    overrides = ["learning_rate=1e-5", "max_grad_norm=0.5", "num_epochs=3"]
    records = list(driver.branch("run@9", overrides, name="slower", root=tmp_path))
    [end] = of(records, Ended)
    assert (tmp_path / "slower" / "model").is_dir()
    assert end.step == 24
    steps = of(records, Step)
    assert steps[0].step == 10
    assert max(step.learning_rate for step in steps) <= 1e-5
    assert {step.max_grad_norm for step in steps} == {0.5}
    assert [one.step for one in of(records, Eval)] == [16, 24, 24], "the best is one of the branch's own"


@pytest.mark.parametrize("cut", [0, 13])
def test_a_branch_that_is_cut_is_resumed_as_a_branch(parent: Path, tmp_path: Path, cut: int) -> None:
    records = driver.branch("run@9", ["learning_rate=1e-3"], name="whole", root=tmp_path)
    list(records)
    records = driver.branch("run@9", ["learning_rate=1e-3"], name="cut", root=tmp_path)
    if cut:
        until(records, cut)
    else:
        next(records)
        records.close()  # type: ignore[attr-defined]
    rest = list(driver.resume(tmp_path / "cut"))
    assert [one.exact for one in of(rest, Rewound)] == ([True] if cut else [])
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    first = next(iter(logs.read(tmp_path / "cut" / "log.jsonl")))
    assert isinstance(first, Started)
    assert first.parent == "run@9"


def test_it_needs_its_parent_no_more(parent: Path, tmp_path: Path) -> None:
    import shutil

    records = driver.branch("run@9", name="own", root=tmp_path)
    until(records, 11)
    shutil.rmtree(parent / "checkpoints")
    *_, end = driver.resume(tmp_path / "own")
    assert isinstance(end, Ended)
    assert end.status == "completed"


def test_another_optimizer_begins_without_a_memory(parent: Path, tmp_path: Path) -> None:
    records = list(driver.branch("run@9", ["optimizer=sgd"], name="sgd", root=tmp_path))
    assert "sgd begins without a memory" in " ".join(note.text for note in of(records, Note))
    assert of(records, Ended)[0].status == "completed"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model=minilm"], "keeps its parent's `model`"),
        (["num_epochs=1"], "nothing is left to train: step 9 of 8"),
        (["data.labels=[good, bad]"], "the classes are good, bad; the checkpoint has bad, good"),
    ],
)
def test_a_change_that_the_weights_do_not_bear_is_refused(
    parent: Path, tmp_path: Path, overrides: list[str], words: str
) -> None:
    with pytest.raises(RunError, match=words):
        next(driver.branch("run@9", overrides, name="other", root=tmp_path))
    assert not (tmp_path / "other").exists()


def test_a_damaged_or_missing_point_is_refused(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint of step 10"):
        next(driver.branch("run@10", root=tmp_path))
    commit = next(c for c in checkpoints.commits(parent / "checkpoints") if c.step == 9)
    (commit.folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(RunError, match="damaged"):
        next(driver.branch("run@9", root=tmp_path))

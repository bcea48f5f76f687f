"""``RUN@500`` and its kin: which checkpoint is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunewell.problems import RunError
from tunewell.runs.checkpoints import write_commit
from tunewell.runs.folder import RunFolder
from tunewell.runs.point import find_point


def make(root: Path, name: str, steps: list[int], best: int | None = None) -> None:
    run = RunFolder.create(root / name, "", {})
    for number, step in enumerate(steps):
        write_commit(run.checkpoints, number, step, lambda folder: None, {"best_commit": best})


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ("demo", "0003-step-300"),
        ("demo@last", "0003-step-300"),
        ("demo@best", "0001-step-100"),
        ("demo@100", "0001-step-100"),
        ("demo@200", "0002-step-200"),
        ("dem@0", "0000-step-0"),
        ("demo@0001-step-100", "0001-step-100"),
    ],
)
def test_a_point_is_found(tmp_path: Path, point: str, name: str) -> None:
    make(tmp_path, "demo", [0, 100, 200, 300], best=1)
    run, commit = find_point(point, tmp_path)
    assert (run.path, commit.folder.name) == (tmp_path / "demo", name)
    assert (
        find_point(point.replace("dem", str(tmp_path / "dem"), 1).replace("dem@", "demo@"), "nowhere")[1]
        == commit
    )


def test_of_a_step_that_came_twice_the_newer_is_meant(tmp_path: Path) -> None:
    make(tmp_path, "demo", [100, 200, 100])
    assert find_point("demo@100", tmp_path)[1].commit == 2
    assert find_point("demo@0000-step-100", tmp_path)[1].commit == 0


def test_a_name_with_an_at_in_it(tmp_path: Path) -> None:
    make(tmp_path, "me@home", [0, 100])
    make(tmp_path, "me@5", [0, 100])
    assert find_point("me@home", tmp_path)[0].name == "me@home"
    assert find_point("me@5", tmp_path)[0].name == "me@5"
    assert find_point("me@home@0", tmp_path)[1].step == 0


def test_an_unknown_step_lists_the_nearest_first(tmp_path: Path) -> None:
    make(tmp_path, "demo", [number * 100 for number in range(12)])
    with pytest.raises(RunError, match="`demo` has no checkpoint of step 520") as caught:
        find_point("demo@520", tmp_path)
    fix = caught.value.problems[0].fix
    assert fix == "there are checkpoints of step 500, 600, 400, 700, 300, 800, 200, 900, 100, 1000 and 2 more"


@pytest.mark.parametrize(
    ("steps", "best", "point", "words"),
    [
        ([], None, "demo", "no checkpoint that can be used"),
        ([0], None, "demo@best", "no evaluation has chosen one yet"),
        ([0], 7, "demo@best", "checkpoint 7 is not there"),
        ([0], None, "demo@first", "`first` is no step"),
        ([0], None, "demo@", "`` is no step"),
        ([0], None, "other@0", "no run `other`"),
    ],
)
def test_what_is_not_there_is_said(
    tmp_path: Path, steps: list[int], best: int | None, point: str, words: str
) -> None:
    make(tmp_path, "demo", steps, best)
    with pytest.raises(RunError, match=words):
        find_point(point, tmp_path)

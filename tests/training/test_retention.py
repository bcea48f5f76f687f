"""Old checkpoints are deleted however well a run goes, and no checkpoint is kept without the best one of its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunewell.recipe import Recipe
from tunewell.records import Committed
from tunewell.runs import checkpoints
from tunewell.training import driver


@pytest.mark.parametrize("limit", [2, 3, 6])
def test_a_run_that_keeps_improving_keeps_no_more_than_the_limit(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, limit: int
) -> None:
    recipe = tiny_recipe(num_epochs=10, metric_for_best_model="loss", save_total_limit=limit)
    records = list(driver.train(recipe))
    made = [record for record in records if isinstance(record, Committed)]
    kept = checkpoints.commits(tmp_path / "run" / "checkpoints")
    assert len(made) == 11
    assert len(kept) <= max(limit, 4), "the first, the newest, the best and the last healthy one always stay"
    assert kept[0].commit == 0
    assert kept[-1].commit == made[-1].commit
    numbers = {commit.commit for commit in kept}
    newest = kept[-1].facts["best_commit"]
    assert newest in numbers
    with_best = [c for c in kept if c.facts["best_commit"] in numbers]
    assert len(with_best) >= min(limit, 3) - 1

"""The course of a training, known before it starts."""

from __future__ import annotations

import pytest

from tunewell.data.batches import BatchOrder
from tunewell.recipe import Recipe
from tunewell.training.plan import Plan, make_plan


def plan(rows: int = 100, **changes: object) -> Plan:
    recipe = Recipe.model_validate({"data": {"train": "a.jsonl"}, "batch_size": 10, **changes})
    return make_plan(recipe, BatchOrder([5] * rows, seed=0, batch_size=10))


def test_one_stage_of_everything_unless_stages_are_asked_for() -> None:
    made = plan(num_epochs=2)
    assert [(s.train, s.first_step, s.last_step) for s in made.stages] == [("all", 0, 20)]
    assert made.total_steps == 20
    assert made.batches_per_epoch == 10


def test_stages_follow_each_other_with_their_own_rate_schedule_and_length() -> None:
    stages = [
        {
            "train": "head",
            "num_epochs": 0.5,
            "learning_rate": 1e-2,
            "lr_scheduler": "constant",
            "warmup_ratio": 0,
        },
        {"train": "top 2"},
        {"num_epochs": 1.05},
    ]
    made = plan(num_epochs=1, learning_rate=1e-3, warmup_ratio=0.2, stages=stages)
    assert [(s.train, s.first_step, s.last_step) for s in made.stages] == [
        ("head", 0, 5),
        ("top 2", 5, 15),
        ("all", 15, 26),
    ]
    assert [s.learning_rate for s in made.stages] == [1e-2, 1e-3, 1e-3]
    assert [s.scheduler for s in made.stages] == ["constant", "linear", "linear"]
    assert [s.warmup_steps for s in made.stages] == [0, 2, 2]
    assert [made.stage_at(step).index for step in (0, 4, 5, 14, 15, 25, 26)] == [0, 0, 1, 1, 2, 2, 2]
    assert made.stages[0].rate_factor(0) == made.stages[0].rate_factor(4) == 1
    assert made.stages[1].rate_factor(7) == 1  # the peak, after the stage's own warm-up
    assert made.stages[1].rate_factor(5) < made.stages[1].rate_factor(6) < 1


@pytest.mark.parametrize(
    ("max_steps", "expected"), [(3, [(0, 3)]), (5, [(0, 5)]), (8, [(0, 5), (5, 8)]), (99, [(0, 5), (5, 15)])]
)
def test_max_steps_cuts_stages_short(max_steps: int, expected: list[tuple[int, int]]) -> None:
    made = plan(max_steps=max_steps, num_epochs=1, stages=[{"train": "head", "num_epochs": 0.5}, {}])
    assert [(s.first_step, s.last_step) for s in made.stages] == expected


def test_max_steps_alone_goes_beyond_the_epochs() -> None:
    assert plan(max_steps=55, num_epochs=1).total_steps == 55


def test_warm_up_in_steps_wins_over_the_share_and_leaves_a_step() -> None:
    assert plan(num_epochs=2, warmup_steps=7).stages[0].warmup_steps == 7
    assert plan(num_epochs=2, warmup_steps=70).stages[0].warmup_steps == 19
    assert plan(num_epochs=2, warmup_ratio=0.25).stages[0].warmup_steps == 5


def test_evaluation_at_epoch_ends_or_every_so_many_steps_and_always_at_both_ends() -> None:
    made = plan(num_epochs=2.5, save_steps=4)
    assert [step for step in range(26) if made.evaluates_at(step)] == [0, 10, 20, 25]
    assert [step for step in range(26) if made.saves_at(step)] == [0, 4, 8, 10, 12, 16, 20, 24, 25]
    made = plan(num_epochs=2.5, eval_steps=7, save_steps=None)
    assert [step for step in range(26) if made.evaluates_at(step)] == [0, 7, 14, 21, 25]
    assert [step for step in range(26) if made.saves_at(step)] == [0, 7, 14, 21, 25]

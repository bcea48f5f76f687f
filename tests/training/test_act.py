"""Actions on a run: what changes, what is refused, and what a rollback brings back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewell.actions import (
    EvaluateNow,
    ExcludeRows,
    Rollback,
    SaveNow,
    ScaleLearningRate,
    SetLearningRate,
    SetMaxGradNorm,
    Stop,
)
from tunewell.recipe import Recipe
from tunewell.runs.checkpoints import Commit
from tunewell.training.act import Outcome, Wishes, apply
from tunewell.training.loop import Work, train_steps
from tunewell.training.state import TrainState


class Store:
    """One commit of step 5, or none."""

    def __init__(self, commit: Commit | None = None) -> None:
        self.commit, self.restored = commit, 0

    def last_healthy(self, before: int) -> Commit | None:
        return self.commit if self.commit is not None and self.commit.step < before else None

    def restore(self, commit: Commit) -> None:
        self.restored += 1


@pytest.fixture
def running(
    tiny_recipe: Callable[..., Recipe], begin: Callable[[Recipe], tuple[TrainState, Work]]
) -> tuple[TrainState, Work]:
    """Return a training of constant rate 2e-3 after its second update."""
    state, work = begin(tiny_recipe(lr_scheduler="constant", warmup_ratio=0, max_steps=8))
    list(itertools.islice(train_steps(state, work), 2))
    return state, work


def act(
    action: object, running: tuple[TrainState, Work], store: Store | None = None
) -> tuple[Outcome, Wishes]:
    state, work = running
    wishes = Wishes()
    return apply(action, state, work, store or Store(), wishes, "because"), wishes  # type: ignore[arg-type]


def test_the_rate_is_scaled_and_set_in_the_optimizer(running: tuple[TrainState, Work]) -> None:
    outcome, _ = act(ScaleLearningRate(0.5), running)
    assert outcome.outcome == "applied"
    assert outcome.detail.startswith("learning rate 0.002 → 0.001")
    assert next(train_steps(*running)).learning_rate == pytest.approx(1e-3)
    act(SetLearningRate(3e-4), running)
    assert next(train_steps(*running)).learning_rate == pytest.approx(3e-4)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_a_rate_that_would_be_nonsense_is_refused(running: tuple[TrainState, Work], factor: float) -> None:
    outcome, _ = act(ScaleLearningRate(factor), running)
    assert outcome.outcome == "refused"
    assert running[0].adjustments.rate_factor == 1.0


def test_a_rate_can_not_be_set_where_the_schedule_stands_at_zero(
    tiny_recipe: Callable[..., Recipe], begin: Callable[[Recipe], tuple[TrainState, Work]]
) -> None:
    running = begin(tiny_recipe(lr_scheduler="linear", warmup_ratio=0, max_steps=4))
    list(train_steps(*running))
    outcome, _ = act(SetLearningRate(1e-3), running)
    assert outcome.outcome == "refused"


def test_clipping_and_excluded_rows(running: tuple[TrainState, Work]) -> None:
    outcome, _ = act(SetMaxGradNorm(0.25), running)
    assert outcome.detail == "max_grad_norm 1.0 → 0.25"
    assert next(train_steps(*running)).max_grad_norm == 0.25
    act(ExcludeRows([7, 3]), running)
    outcome, _ = act(ExcludeRows([3, 9]), running)
    assert running[0].adjustments.excluded_rows == [3, 7, 9]
    assert "3 in all" in outcome.detail


def test_wishes_for_the_next_boundary(running: tuple[TrainState, Work]) -> None:
    assert act(EvaluateNow(), running)[1] == Wishes(evaluate=True)
    assert act(SaveNow(), running)[1] == Wishes(save=True)
    assert act(Stop(success=False), running)[1] == Wishes(stop=Stop(success=False), stop_reason="because")


def test_a_rollback_needs_a_healthy_checkpoint(running: tuple[TrainState, Work]) -> None:
    outcome, _ = act(Rollback(before=5), running, Store())
    assert (outcome.outcome, outcome.rewound) == ("refused", None)
    assert running[0].adjustments.rate_factor == 1.0


def test_a_rollback_lowers_the_rate_in_the_same_transaction(running: tuple[TrainState, Work]) -> None:
    store = Store(Commit(Path("0002-step-1"), 2, 1, {}, {"healthy": True}))
    outcome, _ = act(Rollback(before=2, learning_rate_factor=0.1), running, store)
    assert store.restored == 1
    assert outcome.rewound is not None
    assert (outcome.rewound.step, outcome.rewound.to_step, outcome.rewound.commit) == (2, 1, 2)
    assert running[0].adjustments.rate_factor == pytest.approx(0.1)
    assert "learning rate × 0.1" in outcome.detail

"""Actions on a run: what changes, what is refused, and what a rollback brings back."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tunewell.actions import (
    Action,
    BalanceClasses,
    ClearGradients,
    ClipLayers,
    EvaluateNow,
    ExcludeRows,
    Freeze,
    IncludeRows,
    NextStage,
    Reinitialize,
    Rewarm,
    Rollback,
    SaveNow,
    ScaleLearningRate,
    SetEpsilon,
    SetLearningRate,
    SetMaxGradNorm,
    Stop,
    StretchSchedule,
    Unfreeze,
)
from tunewell.recipe import Recipe
from tunewell.runs.checkpoints import Commit
from tunewell.training.act import IMPOSSIBLE, POSSIBLE, Outcome, Wishes, apply
from tunewell.training.loop import Update, Work, train_steps
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


def after(running: tuple[TrainState, Work], count: int = 1) -> list[Update]:
    return list(itertools.islice(train_steps(*running), count))


def undone(outcome: Outcome, running: tuple[TrainState, Work]) -> None:
    assert outcome.undo is not None
    assert act(outcome.undo, running)[0].outcome == "applied"


def test_what_a_rate_was_is_given_back(running: tuple[TrainState, Work]) -> None:
    for action in (ScaleLearningRate(0.25), SetLearningRate(5e-4)):
        outcome, _ = act(action, running)
        undone(outcome, running)
        assert running[0].optimizers.set_rate(
            running[0].rate_factor(running[1].plan.stages[0])
        ) == pytest.approx(2e-3)


def test_the_rate_rises_anew_from_a_tenth(running: tuple[TrainState, Work]) -> None:
    outcome, _ = act(Rewarm(3), running)
    assert (outcome.outcome, outcome.undo) == ("applied", Rewarm(0))
    rates = [update.learning_rate for update in after(running, 4)]
    assert rates == pytest.approx([2e-4, 8e-4, 1.4e-3, 2e-3])
    act(Rewarm(100), running)
    undone(act(Rewarm(100), running)[0], running)
    assert after(running)[0].learning_rate == pytest.approx(2e-3)


def test_a_stretched_schedule_runs_slower(
    tiny_recipe: Callable[..., Recipe], begin: Callable[[Recipe], tuple[TrainState, Work]]
) -> None:
    running = begin(tiny_recipe(lr_scheduler="linear", warmup_ratio=0, max_steps=16))
    planned = [running[1].plan.stages[0].rate_factor(step) for step in range(16)]
    after(running, 8)
    outcome, _ = act(StretchSchedule(4.0), running)
    rate = running[0].recipe.learning_rate
    assert after(running)[0].learning_rate == pytest.approx(rate * planned[2])
    undone(outcome, running)
    assert after(running)[0].learning_rate == pytest.approx(rate * planned[9])


def test_each_layer_is_clipped_at_its_own_norm(running: tuple[TrainState, Work]) -> None:
    state, _ = running
    seen: dict[str, float] = {}
    honest = state.optimizers.step

    def step(finite: torch.Tensor) -> None:
        for layer in state.layer_order:
            grads = [p.grad for name, p in state.trainable.items() if state.layers[name] == layer]
            seen[layer] = float(
                torch.linalg.vector_norm(torch.stack([g.norm() for g in grads if g is not None]))
            )
        honest(finite)

    act(SetMaxGradNorm(math.inf), running)
    state.optimizers.step = step  # type: ignore[method-assign]
    after(running)
    free = dict(seen)
    bounds = {"head": free["head"] / 10, "layer.0": free["layer.0"] * 10}
    outcome, _ = act(ClipLayers(bounds), running)
    [update] = after(running)
    assert seen["head"] == pytest.approx(bounds["head"], rel=1e-3)
    assert seen["layer.0"] > 0.5 * free["layer.0"]
    assert float(update.gradient_norm) > 1.5 * bounds["head"], "the record holds the norm before clipping"
    undone(outcome, running)
    after(running)
    assert seen["head"] > 2 * bounds["head"]
    assert act(ClipLayers({"roof": 1.0}), running)[0].detail.startswith(
        "there is no layer roof; there are embed"
    )


def test_frozen_layers_stand_still_and_keep_the_others_memory(running: tuple[TrainState, Work]) -> None:
    state, _ = running
    memory = {name: t.clone() for name, t in state.optimizers.pack().items() if name.startswith("classifier")}
    outcome, _ = act(Freeze(["bert.encoder.layer.0.output", "embeddings"]), running)
    assert outcome.undo == Unfreeze(["embeddings", "layer.0"])
    assert all(torch.equal(state.optimizers.pack()[name], tensor) for name, tensor in memory.items())
    before = {name: p.detach().clone() for name, p in state.weights.masters.items()}
    after(running)
    moved = {
        state.layers[name] for name, p in state.weights.masters.items() if not torch.equal(p, before[name])
    }
    assert moved == {"layer.1", "head"}
    undone(outcome, running)
    after(running)
    assert not torch.equal(state.weights.masters["bert.embeddings.word_embeddings.weight"], before["bert.embeddings.word_embeddings.weight"])  # fmt: skip
    assert act(Unfreeze(["head"]), running)[0].detail == "they train already"
    assert act(Freeze(state.layer_order), running)[0].detail == "nothing would be left to train"


def test_a_head_is_drawn_anew_and_pre_trained_layers_are_not(running: tuple[TrainState, Work]) -> None:
    state, _ = running
    before = state.weights.masters["classifier.weight"].detach().clone()
    outcome, _ = act(Reinitialize(["head"]), running)
    assert outcome.outcome == "applied"
    now = state.weights.masters["classifier.weight"].detach()
    assert not torch.equal(now, before)
    assert float(now.square().mean().sqrt()) == pytest.approx(0.1, rel=0.4)
    assert not any(name.startswith("classifier") for name in state.optimizers.pack())
    after(running)
    refused, _ = act(Reinitialize(["layer.0"]), running)
    assert "pre-trained" in refused.detail


def test_epsilon_is_read_back_from_the_optimizer(running: tuple[TrainState, Work]) -> None:
    state, work = running
    outcome, _ = act(SetEpsilon(1e-3), running)
    assert (outcome.detail, outcome.undo) == ("ε 1e-08 → 0.001", SetEpsilon(1e-8))
    state.enter(work.plan.stages[0])
    assert state.optimizers.epsilon == 1e-3, "a new optimizer has it too"
    undone(outcome, running)
    assert state.optimizers.epsilon == 1e-8
    assert act(SetEpsilon(0.0), running)[0].outcome == "refused"


def test_rows_come_back_and_not_all_can_go(running: tuple[TrainState, Work]) -> None:
    state, work = running
    outcome, _ = act(ExcludeRows([3, 7, 10**6]), running)
    assert outcome.undo == IncludeRows([3, 7])
    undone(outcome, running)
    assert state.adjustments.excluded_rows == []
    everything = work.encoded.rows.tolist()
    assert act(ExcludeRows(everything), running)[0].detail == "no row would be left to train on"
    assert act(ExcludeRows([10**6]), running)[0].outcome == "refused"


def test_classes_are_balanced_by_weights(running: tuple[TrainState, Work]) -> None:
    state, work = running
    outcome, _ = act(BalanceClasses(), running)
    assert outcome.outcome == "applied"
    state.adjustments.class_weights = [0.5, 2.0]
    [update] = after(running)
    targets = torch.tensor(work.encoded.targets[update.rows])
    weights = torch.tensor([0.5, 2.0])[targets]
    losses = update.per_row
    assert float(update.loss) == pytest.approx(float((weights * losses).sum() / weights.sum()), rel=1e-5)


def test_a_stage_ends_early(
    tiny_recipe: Callable[..., Recipe], begin: Callable[[Recipe], tuple[TrainState, Work]]
) -> None:
    running = begin(tiny_recipe(stages=[{"train": "head", "num_epochs": 2}, {"num_epochs": 1}]))
    state, work = running
    after(running, 2)
    assert act(NextStage(), running)[0].outcome == "applied"
    [update] = after(running)
    assert (update.stage, update.step) == (1, work.plan.stages[0].last_step + 1)
    assert len(state.trainable) > 10
    assert act(NextStage(), running)[0].detail == "this is the last stage of the recipe"


@pytest.mark.parametrize("kind", IMPOSSIBLE, ids=lambda kind: kind.__name__)
def test_faults_that_this_loop_can_not_have_are_refused_with_the_reason(
    running: tuple[TrainState, Work], kind: type[Action]
) -> None:
    assert kind.__struct_config__.tag not in POSSIBLE
    if kind is ClearGradients:
        assert act(ClearGradients(), running)[0] == Outcome(
            "refused", "this loop clears gradients after each update"
        )


def test_what_is_refused_changes_nothing(running: tuple[TrainState, Work]) -> None:
    state, _ = running
    before = copy.deepcopy(state.adjustments)
    for action in (
        Rewarm(-1),
        StretchSchedule(0.0),
        SetMaxGradNorm(-1.0),
        ClipLayers({"head": -1.0}),
        Rollback(1, -2.0),
    ):
        assert (
            act(action, running, Store(Commit(Path("0001-step-0"), 1, 0, {}, {"healthy": True})))[0].outcome
            == "refused"
        )
    assert state.adjustments == before


def test_a_rollback_never_goes_forward(running: tuple[TrainState, Work]) -> None:
    """A checkpoint of a later step is of a course that was given up."""
    later = Store(Commit(Path("0009-step-7"), 9, 7, {}, {"healthy": True}))
    assert act(Rollback(before=100), running, later)[0].outcome == "refused"
    assert later.restored == 0


ALL = [ScaleLearningRate(0.5), Rewarm(3), StretchSchedule(2.0), ClipLayers({"head": 0.05}), SetEpsilon(1e-4), Freeze(["layer.0"]), ExcludeRows([3]), SetMaxGradNorm(0.3), BalanceClasses()]  # fmt: skip


@pytest.mark.parametrize("keep", [True, False], ids=["rollback", "resume"])
def test_adjustments_survive_bit_for_bit(
    running: tuple[TrainState, Work], begin: Callable[[Recipe], tuple[TrainState, Work]], keep: bool
) -> None:
    """What a state that was packed and unpacked does next is what the one that went on does."""
    state, work = running
    for action in ALL:
        assert act(action, running)[0].outcome == "applied"
    tensors, facts = state.pack()
    went_on = [float(update.loss) for update in after(running, 3)]
    facts = json.loads(json.dumps(facts))
    if keep:
        state.adjustments.cursor = facts["adjustments"]["cursor"]
        again = running
    else:
        again = begin(state.recipe)
    again[0].unpack(tensors, facts, work.plan.stages[0], keep_adjustments=keep)
    assert vars(again[0].adjustments) == facts["adjustments"]
    assert [float(update.loss) for update in after(again, 3)] == went_on

"""Actions in somebody else's loop: each one really changes the run, and a schedule of the loop's own can't undo it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR

from integrations.watched_loops import CLASSES, IMAGES, batches, cnn, deeds_of, steps_of, train, watched
from tunewell import actions as does
from tunewell.actions import Action
from tunewell.integrations import act
from tunewell.integrations.act import Outcome
from tunewell.integrations.watcher import Watcher
from tunewell.records import Finding, Rewound


def done(watch: Watcher, action: Action) -> Outcome:
    """Carry `action` out as a policy would have it done."""
    return act.apply(action, watch._hands, "a test asks for it")


def norm_of(parameters: object) -> float:
    return float(
        torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
    )  # type: ignore[attr-defined]


def test_a_factor_is_in_the_optimizer_at_the_update_while_the_loops_schedule_steps_on() -> None:
    model = cnn()
    optimizer = SGD(model.parameters(), 0.1)
    scheduler = LambdaLR(optimizer, lambda step: 0.9**step)
    _, watch = watched(model, optimizer, scheduler=scheduler, policy="cautious")
    used: list[float] = []
    optimizer.register_step_pre_hook(
        lambda optimizer, args, kwargs: used.append(optimizer.param_groups[0]["lr"])
    )
    train(model, optimizer, watch, 2, after_step=scheduler.step)
    outcome = done(watch, does.ScaleLearningRate(0.5))
    assert outcome.outcome == "applied"
    assert "0.081 → 0.0405" in outcome.detail
    train(model, optimizer, watch, 3, after_step=scheduler.step)
    rates = [0.1 * 0.9**step * (0.5 if step >= 2 else 1.0) for step in range(5)]
    assert used == pytest.approx(rates)
    assert [step.learning_rate for step in steps_of(watch)] == pytest.approx(rates)
    assert scheduler.get_last_lr() == pytest.approx([0.1 * 0.9**5]), "the schedule sees its own rate"
    assert outcome.undo is not None
    done(watch, outcome.undo)
    train(model, optimizer, watch, 1, after_step=scheduler.step)
    assert steps_of(watch)[-1].learning_rate == pytest.approx(0.1 * 0.9**5)


def test_a_rate_can_be_set_and_warmed_up_anew() -> None:
    model = cnn()
    optimizer, watch = watched(model, SGD(model.parameters(), 0.1), policy="cautious")
    train(model, optimizer, watch, 1)
    done(watch, does.SetLearningRate(0.02))
    train(model, optimizer, watch, 1)
    done(watch, does.Rewarm(4))
    train(model, optimizer, watch, 6)
    expected = [0.1, 0.02, *(0.02 * (0.1 + 0.9 * done / 4) for done in range(4)), 0.02, 0.02]
    assert [step.learning_rate for step in steps_of(watch)] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_schedule_that_runs_too_fast_is_slowed_down_without_being_touched() -> None:
    model = cnn()
    optimizer = SGD(model.parameters(), 0.1)
    scheduler = LambdaLR(optimizer, lambda tick: max(0.0, 1 - tick / 20))
    _, watch = watched(model, optimizer, policy="cautious")
    for number, rows in enumerate(batches(40, 8)):
        watch.loss(F.cross_entropy(model(IMAGES[rows]), CLASSES[rows]) / 4).backward()
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()  # once for each micro-batch: 4 times too often
        if number == 7:
            assert done(watch, does.StretchSchedule(4.0)).outcome == "applied"
    rates = [step.learning_rate for step in steps_of(watch)]
    assert rates[:2] == pytest.approx([0.1 * (1 - tick / 20) for tick in (3, 7)])
    assert rates[2:] == pytest.approx([0.1 * (1 - update / 20) for update in range(2, 10)])
    assert done(watch, does.StretchSchedule(0.1)).outcome == "refused"


def test_gradients_are_clipped_before_the_update() -> None:
    model = cnn()
    optimizer, watch = watched(model, SGD(model.parameters(), 1.0), policy="cautious")
    seen: list[float] = []
    train(model, optimizer, watch, 1)
    outcome = done(watch, does.SetMaxGradNorm(0.01))
    optimizer.register_step_pre_hook(lambda *_: seen.append(norm_of(model.parameters())))
    train(model, optimizer, watch, 2)
    assert seen == pytest.approx([0.01, 0.01], rel=1e-3)
    last = steps_of(watch)[-1]
    assert last.max_grad_norm == 0.01
    assert last.gradient_norm > 0.01, "told as it was before clipping"
    assert outcome.undo == does.SetMaxGradNorm(math.inf)
    done(watch, outcome.undo)
    train(model, optimizer, watch, 1)
    assert seen[-1] > 0.01


def test_single_layers_are_clipped() -> None:
    model = cnn()
    optimizer, watch = watched(model, SGD(model.parameters(), 0.1), policy="cautious")
    train(model, optimizer, watch, 1)
    done(watch, does.ClipLayers({"0": 1e-3}))
    seen: list[tuple[float, float]] = []
    optimizer.register_step_pre_hook(
        lambda *_: seen.append((norm_of(model[0].parameters()), norm_of(model[6].parameters())))
    )
    train(model, optimizer, watch, 1)
    assert seen[0][0] == pytest.approx(1e-3, rel=1e-2)
    assert seen[0][1] > 0.05


def test_stale_gradients_are_cleared_and_gathered_ones_divided() -> None:
    model = cnn()
    optimizer, watch = watched(model, SGD(model.parameters(), 0.1), policy="cautious")
    train(model, optimizer, watch, 1, clears=False)
    assert done(watch, does.ClearGradients()).outcome == "applied"
    train(model, optimizer, watch, 1, clears=False)
    assert all(parameter.grad is None for parameter in model.parameters())

    before = [parameter.detach().clone() for parameter in model.parameters()]
    done(watch, does.DivideGradients())
    summed = [torch.zeros_like(parameter) for parameter in before]
    for rows in batches(4, 8):
        loss = F.cross_entropy(model(IMAGES[rows]), CLASSES[rows])
        gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        summed = [total + one for total, one in zip(summed, gradients, strict=True)]
        watch.loss(loss).backward()
    optimizer.step()
    for old, new, total in zip(before, model.parameters(), summed, strict=True):
        torch.testing.assert_close(new, old - 0.1 * total / 4)


def test_a_scaled_loss_leaves_gradients_as_they_were_but_for_rounding() -> None:
    model = nn.Linear(64, 10)
    _, watch = watched(model, SGD(model.parameters(), 0.1), policy="cautious")
    assert done(watch, does.ScaleLoss(4096.0)).outcome == "applied"
    inside: list[float] = []
    for _ in range(2):  # two micro-batches of one update
        rows = batches(1)[0]
        logits = model(IMAGES[rows].flatten(1))
        logits.register_hook(lambda gradient: inside.append(float(gradient.abs().max())))
        watch.loss(F.cross_entropy(logits, CLASSES[rows])).backward()
    scaled = model.weight.grad.clone()
    model.zero_grad()
    (2 * F.cross_entropy(model(IMAGES[rows].flatten(1)), CLASSES[rows])).backward()
    torch.testing.assert_close(scaled, model.weight.grad)
    assert min(inside) > 10


def test_epsilon_is_set_and_taken_back() -> None:
    model = cnn()
    optimizer, watch = watched(model, AdamW(model.parameters(), 1e-3, eps=1e-2), policy="cautious")
    outcome = done(watch, does.SetEpsilon(1e-8))
    assert optimizer.param_groups[0]["eps"] == 1e-8
    assert outcome.undo == does.SetEpsilon(1e-2)
    _, plain = watched(model, SGD(model.parameters(), 0.1), policy="cautious")
    assert done(plain, does.SetEpsilon(1e-8)).outcome == "refused"


def test_layers_are_frozen_unfrozen_and_put_into_the_optimizer_beside_a_schedule() -> None:
    model = cnn()
    head = model[-1]
    optimizer = AdamW(
        [p for name, p in model.named_parameters() if not name.startswith("6")], 1e-3, weight_decay=0.3
    )
    scheduler = LambdaLR(optimizer, lambda step: 1.0)
    for parameter in head.parameters():
        parameter.requires_grad_(False)
    _, watch = watched(model, optimizer, policy="cautious")
    train(model, optimizer, watch, 2, after_step=scheduler.step)
    outcome = done(watch, does.Unfreeze(["6"]))
    before = head.weight.detach().clone()
    train(model, optimizer, watch, 2, after_step=scheduler.step)
    assert not torch.equal(head.weight, before)
    assert "2 of its parameters joined" in outcome.detail
    assert len(optimizer.param_groups) == 1
    assert outcome.undo is not None
    done(watch, outcome.undo)
    before = head.weight.detach().clone()
    train(model, optimizer, watch, 1)
    assert torch.equal(head.weight, before)
    assert done(watch, does.Freeze(["nowhere"])).outcome == "refused"


def test_forgotten_parameters_join_the_group_of_their_neighbours() -> None:
    model = cnn()
    optimizer = SGD(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters(), "lr": 0.2}]
    )
    _, watch = watched(model, optimizer, policy="cautious")
    train(model, optimizer, watch, 1)
    assert done(watch, does.Optimize(["6.weight", "6.bias"])).outcome == "applied"
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 4]
    before = model[6].weight.detach().clone()
    train(model, optimizer, watch, 1)
    assert not torch.equal(model[6].weight, before)
    assert done(watch, does.Optimize(["6.weight"])).outcome == "refused"


def test_a_layer_is_drawn_anew_and_its_moments_forgotten() -> None:
    model = cnn()
    optimizer, watch = watched(model, policy="cautious")
    train(model, optimizer, watch, 2)
    with torch.no_grad():
        model[2].bias.fill_(-10.0)
    state = torch.get_rng_state()
    assert done(watch, does.Reinitialize(["2"])).outcome == "applied"
    assert float(model[2].bias.detach().abs().max()) < 1
    assert model[2].weight not in optimizer.state
    assert model[0].weight in optimizer.state
    assert torch.equal(torch.get_rng_state(), state)


def test_modes_are_held() -> None:
    model = cnn()
    model.eval()
    optimizer, watch = watched(model, policy="cautious")
    assert done(watch, does.SetMode()).outcome == "applied"
    train(model, optimizer, watch, 1)
    assert model[5].training
    with torch.no_grad():
        model(IMAGES[:4])
    assert not model[5].training
    train(model, optimizer, watch, 1)
    assert model[5].training
    watch.close()
    model.eval()
    model(IMAGES[:4])
    assert not model[5].training, "nothing is left behind"


def test_probabilities_become_logits_again_only_where_the_model_gives_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(dim=1))
    optimizer, watch = watched(model, policy="cautious")
    assert done(watch, does.TakeLogarithm()).outcome == "refused", "not seen yet"
    train(model, optimizer, watch, 1)
    assert done(watch, does.TakeLogarithm()).outcome == "applied"
    torch.testing.assert_close(model(IMAGES[:9]), model[1](IMAGES[:9].flatten(1)).log_softmax(1))
    plain, other = watched(cnn(), policy="cautious")
    assert done(other, does.TakeLogarithm()).outcome == "refused"
    assert plain is not None


def test_inputs_are_normalized() -> None:
    model = nn.Identity()
    layer = nn.Linear(1, 1)
    outer = nn.Sequential(model, layer)
    _, watch = watched(outer, SGD(outer.parameters(), 0.1), policy="cautious")
    assert done(watch, does.NormalizeInputs(10.0, 2.0)).outcome == "applied"
    seen: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    outer(torch.tensor([[14.0]]))
    assert seen[0].item() == 2.0


def test_rows_are_left_out_and_come_again() -> None:
    model = cnn()
    _, watch = watched(model, policy="cautious")
    assert done(watch, does.ExcludeRows([1])).outcome == "refused", "the loop does not ask which rows to take"
    given = watch.batches([[1, 2], [1], [3, 1]] * 2)
    assert next(given) == [1, 2]
    outcome = done(watch, does.ExcludeRows([1]))
    assert watch.excluded == {1}
    assert [next(given), next(given)] == [[3], [2]]
    assert outcome.undo == does.IncludeRows([1])
    done(watch, does.IncludeRows([1]))
    assert list(given) == [[1], [3, 1]]


def test_sorted_rows_are_mixed_and_rare_classes_drawn_as_often() -> None:
    model = cnn()
    rows = torch.argsort(CLASSES[:200]).tolist()
    order = [rows[start : start + 20] for start in range(0, 200, 20)]
    _, watch = watched(model, train=(IMAGES[:200], CLASSES[:200]), policy="cautious")
    given = watch.batches(order * 2)
    next(given)
    done(watch, does.ShuffleRows())
    epoch = [row for _ in range(10) for row in next(given)]
    assert sorted(epoch) == sorted(rows), "each row once"
    assert len(set(CLASSES[epoch[:20]].tolist())) > 4
    done(watch, does.BalanceClasses())
    drawn = [row for batch in given for row in batch]
    assert len(drawn) == 9 * 20
    watch.close()


def test_a_rollback_brings_weights_moments_and_buffers_back() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    optimizer, watch = watched(model, policy="cautious")
    train(model, optimizer, watch, 20)
    steps = watch._hands.snapshots.steps()
    assert steps[0] == 0
    train(model, optimizer, watch, 1)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moment = optimizer.state[model[1].weight]["exp_avg"].clone()
    assert watch._hands.snapshots.take(21, watch._journal.watch.pack())
    train(model, optimizer, watch, 3)
    with torch.no_grad():
        model[1].weight.fill_(math.nan)
    outcome = done(watch, does.Rollback(before=22, learning_rate_factor=0.5))
    assert outcome.outcome == "applied"
    assert outcome.rewound is not None
    assert (outcome.rewound.step, outcome.rewound.to_step) == (24, 21)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(optimizer.state[model[1].weight]["exp_avg"], moment)
    train(model, optimizer, watch, 1)
    assert steps_of(watch)[-1].step == 25, "the loop's own count goes on"
    assert steps_of(watch)[-1].learning_rate == pytest.approx(5e-4)
    assert done(watch, does.Rollback(before=0)).outcome == "refused"


def test_weights_that_are_not_finite_are_never_kept() -> None:
    model = cnn()
    optimizer, watch = watched(model, policy="cautious")
    train(model, optimizer, watch, 1)
    with torch.no_grad():
        model[0].weight[0] = math.inf
    assert not watch._hands.snapshots.take(1, {})
    assert watch._hands.snapshots.steps() == (0,)


def test_an_update_that_is_not_finite_is_refused_where_the_policy_may_act_and_told_where_not() -> None:
    for policy in ("observe", "cautious"):
        model = cnn()
        optimizer, watch = watched(model, policy=policy)
        train(model, optimizer, watch, 2)
        rows = batches(1)[0]
        before = model[0].weight.detach().clone()
        watch.loss(F.cross_entropy(model(IMAGES[rows]) * math.inf, CLASSES[rows])).backward()
        optimizer.step()
        optimizer.zero_grad()
        watch.close()
        refused = policy == "cautious"
        assert steps_of(watch)[-1].skipped is refused
        assert torch.equal(model[0].weight, before) is refused
        assert "non_finite" in {finding.code for finding in watch.findings}


def test_stop_is_asked_for_and_what_is_impossible_refused() -> None:
    model = cnn()
    _, watch = watched(model, policy="cautious")
    assert not watch.should_stop
    done(watch, does.Stop(success=False))
    assert watch.should_stop
    for action in (does.NextStage(), does.SetMicroBatchTokens(10), does.EvaluateNow(), does.SaveNow()):
        assert done(watch, action).outcome == "refused"


def test_a_rate_a_hundred_times_too_high_is_rolled_back_by_the_policy() -> None:
    model = cnn()
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    _, watch = watched(model, optimizer, policy="cautious", total_steps=200)
    train(model, optimizer, watch, 50)
    for group in optimizer.param_groups:
        group["lr"] = 5.0
    train(model, optimizer, watch, 60)
    watch.close()
    assert any(isinstance(record, Rewound) for record in watch.records)
    applied = [deed for deed in deeds_of(watch) if deed.outcome == "applied"]
    assert applied
    assert steps_of(watch)[-1].loss < 1.0
    assert not any(math.isnan(float(p.detach().sum())) for p in model.parameters())


def test_what_on_says_is_done_under_observe_too() -> None:
    model = cnn()
    optimizer, watch = watched(model, on={"gradients_not_cleared": "clear_gradients"})
    train(model, optimizer, watch, 6, clears=False)
    watch.close()
    assert any(deed.action == does.ClearGradients() for deed in deeds_of(watch))
    finding = next(record for record in watch.records if isinstance(record, Finding))
    assert finding.code == "gradients_not_cleared"


def test_going_back_to_the_beginning_begins_the_schedule_anew_over_what_is_left() -> None:
    model = cnn()
    optimizer = SGD(model.parameters(), 0.1)
    scheduler = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 5) * (1 - step / 20))
    _, watch = watched(model, optimizer, scheduler=scheduler, policy="cautious", total_steps=20)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    train(model, optimizer, watch, 10, after_step=scheduler.step)
    outcome = done(watch, does.Rollback(before=1))
    assert "its schedule from the beginning, over the 10 left" in outcome.detail
    assert all(map(torch.equal, start, model.parameters()))
    train(model, optimizer, watch, 10, after_step=scheduler.step)
    rates = [step.learning_rate for step in steps_of(watch)]
    assert rates[10:] == pytest.approx(rates[0:10:2] + [0.1 * (1 - step / 20) for step in range(10, 20, 2)])
    assert scheduler.get_last_lr() == pytest.approx([0.0]), "the loop's own schedule is not touched"


@pytest.mark.parametrize("at", ["the last evaluation", "the end"])
def test_a_run_ends_with_what_evaluated_best(at: str) -> None:
    model = cnn()
    total = 12 if at == "the last evaluation" else 100
    optimizer, watch = watched(model, policy="cautious", total_steps=total)
    seen: dict[int, dict[str, torch.Tensor]] = {}
    for step, accuracy in ((4, 0.5), (8, 0.9), (12, 0.7)):
        train(model, optimizer, watch, 4)
        seen[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if step == 8:
            watch.evaluated(1.0, {"accuracy": accuracy})
            assert "evaluate best" in done(watch, does.Rollback(before=9, keeps_best=True)).detail
        else:
            watch.evaluated(1.0, {"accuracy": accuracy})
    if at == "the end":
        torch.testing.assert_close(dict(model.state_dict()), seen[12])
        watch.close()
    torch.testing.assert_close(dict(model.state_dict()), seen[8])
    assert deeds_of(watch)[-1].detail == "the run ends with the weights of step 8, which evaluated best"
    watch.close()
    assert len(deeds_of(watch)) == 1, "they are there already"


def test_nothing_is_put_back_at_the_end_where_nobody_asked() -> None:
    model = cnn()
    optimizer, watch = watched(model, policy="cautious", total_steps=8)
    for accuracy in (0.9, 0.5):
        train(model, optimizer, watch, 4)
        before = model[-1].weight.detach().clone()
        watch.evaluated(1.0, {"accuracy": accuracy})
    watch.close()
    assert torch.equal(model[-1].weight, before)
    assert deeds_of(watch) == []


def test_weights_decay_beside_the_optimizer() -> None:
    model = nn.Linear(64, 10)
    optimizer, watch = watched(model, SGD(model.parameters(), 0.1), policy="cautious")
    train(nn.Sequential(nn.Flatten(), model), optimizer, watch, 1)
    done(watch, does.Rollback(before=2, weight_decay=2.0))
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    logits = model(IMAGES[:4].flatten(1))
    watch.loss(F.cross_entropy(logits, CLASSES[:4])).backward()
    gradients = model.weight.grad.clone(), model.bias.grad.clone()
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), 0.8 * weight - 0.1 * gradients[0])
    torch.testing.assert_close(model.bias.detach(), bias - 0.1 * gradients[1])


def test_the_gradients_of_one_layer_are_multiplied() -> None:
    model = cnn()
    optimizer, watch = watched(model, SGD(model.parameters(), 0.1), policy="cautious")
    train(model, optimizer, watch, 1)
    outcome = done(watch, does.ScaleLoss(8.0, ["0"]))
    assert outcome.undo == does.ScaleLoss(1.0, ["0"])
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    watch.loss(F.cross_entropy(model(IMAGES[:8]), CLASSES[:8])).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 8.0 if name.startswith("0.") else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] - 0.1 * factor * gradients[name])


def test_going_back_does_not_bring_back_layers_that_were_drawn_anew() -> None:
    model = cnn()
    optimizer, watch = watched(model, policy="cautious")
    with torch.no_grad():
        model[0].bias.fill_(-10.0)
    train(model, optimizer, watch, 3)
    done(watch, does.Rollback(before=1))
    done(watch, does.Reinitialize(["0"]))
    drawn = model[0].bias.detach().clone()
    train(model, optimizer, watch, 3)
    done(watch, does.Rollback(before=1))
    assert torch.equal(model[0].bias, drawn)


def test_rare_classes_are_drawn_as_often_and_then_told_by_a_corrected_loss() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    common = torch.nonzero(CLASSES < 5).flatten()[:190]
    rare = torch.cat([torch.eq(CLASSES, label).nonzero().flatten()[:2] for label in range(5, 10)])
    rows = torch.cat([common, rare])
    images, classes = IMAGES[rows], CLASSES[rows]
    optimizer = SGD(model.parameters(), 0.1)
    _, watch = watched(model, optimizer, train=(images, classes), policy="cautious", total_steps=21)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0)).reshape(-1, 20).tolist()
    rare_shares, losses = [], []
    for step, ids in enumerate(watch.batches(order * 3)):
        if step == 1:
            assert "15 times; then the loss is corrected" in done(watch, does.BalanceClasses()).detail
        if step == 21:
            break
        rare_shares.append(float((classes[ids] >= 5).float().mean()))
        plain = model(images[ids]).detach() if step == 0 else None
        logits = model(images[ids])
        assert plain is None or torch.equal(plain, logits)
        losses.append(logits)
        watch.loss(F.cross_entropy(logits, classes[ids])).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert sum(rare_shares[2:16]) / 14 > 0.3
    assert sum(rare_shares[17:]) / len(rare_shares[17:]) < 0.2, "as they stand in the data"
    with torch.no_grad():
        plain = model.eval()(images[:5])
    corrected = model.train()(images[:5]) - plain
    counts = torch.bincount(classes, minlength=10).float()
    torch.testing.assert_close(corrected.detach(), (counts / 200).log().expand(5, 10), atol=1e-4, rtol=1e-4)
    watch.close()
    assert torch.equal(model(images[:5]), plain)


RANDOM = "benchmarks.faultbench.arms:RandomActions"


@pytest.mark.parametrize(
    ("policy", "guards"), [("observe", False), ("cautious", True), ("autopilot", True), (RANDOM, False)]
)
def test_a_policy_says_whether_updates_are_refused(policy: str, guards: bool) -> None:
    _, watch = watched(cnn(), policy=policy)
    assert watch._hands.adjustments.refuses is guards
    watch.close()

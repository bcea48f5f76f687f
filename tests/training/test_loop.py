"""The loop: what may not change the mathematics does not, and what is not finite changes nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tunewell.recipe import Recipe
from tunewell.tasks._protocol import Batch, LossSum
from tunewell.training.loop import Work, train_steps
from tunewell.training.measure import to_records
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]


def losses_of(state: TrainState, work: Work, steps: int | None = None) -> list[float]:
    return [float(update.loss) for update in itertools.islice(train_steps(state, work), steps)]


def weights_of(state: TrainState) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.weights.masters.items()}


def assert_close(left: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=0, atol=tolerance)


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert_close(left, right, 0.0)


@pytest.mark.parametrize(
    ("changes", "last"),
    [({}, 32), ({"class_weights": {"good": 3.0, "bad": 0.5}}, 32), ({"data": {"validation": 0.3}}, 16)],
    ids=["plain", "class weights", "short last batch"],
)
def test_accumulation_and_micro_batches_change_nothing_but_rounding(
    tiny_recipe: Make, begin: Begin, changes: dict[str, Any], last: int
) -> None:
    sgd = {
        "optimizer": "sgd",
        "learning_rate": 0.1,
    }  # Adam would make much of the rounding of a gradient near 0
    whole = begin(tiny_recipe(batch_size=32, **sgd, **changes))
    parts = begin(tiny_recipe(batch_size=8, gradient_accumulation_steps=4, **sgd, **changes))
    odd = begin(tiny_recipe(batch_size=32, **sgd, **changes))
    odd = odd[0], replace(odd[1], batch_size=5)
    expected = losses_of(*whole)
    assert len(whole[1].order.batch_at(len(expected) - 1)) == last
    assert losses_of(*parts) == pytest.approx(expected, abs=1e-5)
    assert losses_of(*odd) == pytest.approx(expected, abs=1e-5)
    assert_close(weights_of(whole[0]), weights_of(parts[0]), 1e-5)
    assert_close(weights_of(whole[0]), weights_of(odd[0]), 1e-5)


def test_padding_changes_no_loss(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe(group_by_length=False))
    rows = work.order.batch_at(0)
    alone = torch.cat(
        [
            work.task.loss(state.model, work.task.collate(work.encoded, rows[i : i + 1])).per_row
            for i in range(len(rows))
        ]
    )
    together = work.task.loss(state.model, work.task.collate(work.encoded, rows)).per_row
    assert len(set(work.encoded.lengths[rows])) > 1
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_a_token_budget_cuts_micro_batches_and_nothing_else(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe(max_tokens_per_batch=64, gradient_accumulation_steps=3, num_epochs=1))
    assert work.micro_batch_rows(16, None) == 4
    seen: list[int] = []
    for update in train_steps(state, work):
        assert len(update.rows) * int(work.encoded.lengths[update.rows].max()) <= 192
        seen += update.rows.tolist()
    assert sorted(seen) == list(range(len(work.encoded)))


def test_the_rate_in_the_optimizer_is_the_schedules_times_the_adjustment(
    tiny_recipe: Make, begin: Begin
) -> None:
    state, work = begin(tiny_recipe(lr_scheduler="linear", warmup_ratio=0.25, max_steps=8))
    state.adjustments.rate_factor = 0.5
    rates = []
    for update in train_steps(state, work):
        rates.append(update.learning_rate)
        assert max(group["lr"] for part in state.optimizers.parts for group in part.param_groups) == rates[-1]
    assert rates == pytest.approx([2e-3 * 0.5 * factor for factor in schedule(8, 2)])


def schedule(total: int, warmup: int) -> list[float]:
    from tunewell import schedules

    return [schedules.factor("linear", step, total, warmup) for step in range(total)]


def test_clipping_acts_before_the_update_and_the_norm_is_told_unclipped(
    tiny_recipe: Make, begin: Begin
) -> None:
    common = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "lr_scheduler": "constant",
        "warmup_ratio": 0.0,
        "max_steps": 1,
    }
    free, work = begin(tiny_recipe(max_grad_norm=None, **common))
    before = weights_of(free)
    norm = float(next(train_steps(free, work)).gradient_norm)
    clipped, work = begin(tiny_recipe(max_grad_norm=norm / 4, **common))
    update = next(train_steps(clipped, work))
    assert float(update.gradient_norm) == pytest.approx(norm)
    assert update.max_grad_norm == norm / 4
    after_free, after_clipped = weights_of(free), weights_of(clipped)
    for name, start in before.items():
        torch.testing.assert_close(
            after_clipped[name] - start, (after_free[name] - start) / 4, rtol=1e-3, atol=1e-7
        )


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize(
    "changes", [{}, {"embeddings": "rows"}, {"precision": "bf16"}, {"optimizer": "sgd"}], ids=str
)
def test_a_batch_that_is_not_finite_is_refused_and_training_goes_on(
    tiny_recipe: Make, begin: Begin, monkeypatch: pytest.MonkeyPatch, bad: float, changes: dict[str, Any]
) -> None:
    state, work = begin(tiny_recipe(num_epochs=1, **changes))
    poison(monkeypatch, work, int(work.order.batch_at(3)[5]), bad)
    steps, weights, moments = [], [], []
    for update in train_steps(state, work):
        steps += [step for step, *_ in to_records([update], work.encoded.rows)]
        weights.append(weights_of(state))
        moments.append({name: tensor.clone() for name, tensor in state.optimizers.pack().items()})
    assert [step.skipped for step in steps] == [number == 4 for number in range(1, len(steps) + 1)]
    refused = steps[3]
    assert not math.isfinite(refused.loss)
    assert [row for row, _ in refused.worst_rows] == [int(work.encoded.rows[work.order.batch_at(3)[5]])]
    assert_equal(weights[2], weights[3])
    assert_equal(moments[2], moments[3])
    assert any(not torch.equal(weights[3][name], weights[4][name]) for name in weights[3])
    assert steps[-1].loss < steps[0].loss * 1.5


def poison(monkeypatch: pytest.MonkeyPatch, work: Work, index: int, value: float) -> None:
    """Let the row at `index` of the training split have `value` as its loss."""
    honest, marked = work.task.loss, np.asarray(work.encoded.ids(index)).tolist()

    def loss(model: torch.nn.Module, batch: Batch) -> LossSum:
        result = honest(model, batch)
        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"].bool()
        here = torch.tensor([row[keep].tolist() == marked for row, keep in zip(ids, mask, strict=True)])
        if not here.any():
            return result
        per_row = torch.where(here, torch.full_like(result.per_row, value), result.per_row)
        return LossSum(result.sum * value, per_row, result.outputs)

    monkeypatch.setattr(work.task, "loss", loss)


def test_excluded_rows_are_left_out_and_an_empty_batch_is_passed_over(
    tiny_recipe: Make, begin: Begin
) -> None:
    state, work = begin(tiny_recipe(num_epochs=1))
    gone = {int(row) for row in work.encoded.rows[work.order.batch_at(0)]}
    gone.add(int(work.encoded.rows[work.order.batch_at(1)[0]]))
    state.adjustments.excluded_rows = sorted(gone)
    update = next(train_steps(state, work))
    assert update.cursor == 1
    assert len(update.rows) == len(work.order.batch_at(1)) - 1
    assert not gone & set(work.encoded.rows[update.rows].tolist())


def test_layers_are_measured_at_the_first_updates_and_then_at_intervals(
    tiny_recipe: Make, begin: Begin
) -> None:
    state, work = begin(tiny_recipe(probe_steps=5, max_steps=11))
    updates = list(train_steps(state, work))
    assert [u.step for u in updates if u.layer_gradients] == [1, 2, 3, 6, 11]
    measured = updates[-1]
    assert list(measured.layer_gradients or ()) == ["embeddings", "layer.0", "layer.1", "head"]
    assert list(measured.layer_updates or ()) == ["embeddings", "layer.0", "layer.1", "head"]
    squares = sum(float(norm) ** 2 for norm in (measured.layer_gradients or {}).values())
    assert squares**0.5 == pytest.approx(float(measured.gradient_norm), rel=1e-4)


def test_rows_stand_in_the_order_of_their_losses_and_outputs(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe(batch_size=4, gradient_accumulation_steps=4, group_by_length=False))
    update = next(train_steps(state, work))
    assert update.outputs is not None
    state, work = begin(tiny_recipe(batch_size=4, gradient_accumulation_steps=4, group_by_length=False))
    alone = work.task.loss(state.model, work.task.collate(work.encoded, update.rows))
    torch.testing.assert_close(update.per_row, alone.per_row, rtol=0, atol=1e-5)
    torch.testing.assert_close(update.outputs, alone.outputs, rtol=0, atol=1e-5)


def test_a_sampled_update_is_looked_into(tiny_recipe: Make, begin: Begin) -> None:
    changes = {"dropout": 0.1, "stages": [{"train": "head"}]}
    state, work = begin(tiny_recipe(batch_size=4, gradient_accumulation_steps=4, probe_steps=2, **changes))
    assert state.optimizers.parts
    state.model.bert.encoder.eval()
    updates = list(itertools.islice(train_steps(state, work), 6))
    looks = [look for _, look, _ in to_records(updates, work.encoded.rows) if look is not None]
    assert [look.step for look in looks] == [1, 2, 3, 4, 5]
    for look in looks:
        assert look.backward_passes == 4
        assert look.objective == pytest.approx(look.mean_loss, rel=1e-5)
        assert (look.stale_gradient, look.not_optimized, look.schedule_ticks) == (0.0, [], 1)
        assert (look.output_layer, look.output_frozen) == ("head", False)
        assert look.frozen == ["embeddings", "layer.0", "layer.1"]
        assert look.in_evaluation == [], "what is frozen may rest"
        assert (look.num_outputs, look.outputs_are_probabilities) == (2, False)
        assert look.guessing_loss == pytest.approx(math.log(2))
        assert look.zero_gradients is not None
        assert set(look.zero_gradients) == {"head"}
        assert look.output_std is not None
        assert look.output_std > 0
        assert look.input_mean is None
    assert looks[0].epsilon_share is None
    assert looks[1].epsilon == 1e-8


def test_gradients_that_were_left_and_parameters_in_no_group_are_seen(
    tiny_recipe: Make, begin: Begin
) -> None:
    state, work = begin(tiny_recipe(probe_steps=1))
    state.model.classifier.bias.grad = torch.full((2,), 3.0)
    [group] = [group for group in state.optimizers.parts[0].param_groups if group["weight_decay"] == 0]
    group["params"] = [p for p in group["params"] if p is not state.model.classifier.bias]
    [(_, look, _)] = to_records([next(train_steps(state, work))], work.encoded.rows)
    assert look is not None
    assert look.stale_gradient == pytest.approx(18**0.5)
    assert look.not_optimized == ["classifier.bias"]


def test_dropout_is_a_function_of_position(tiny_recipe: Make, begin: Begin) -> None:
    one = losses_of(*begin(tiny_recipe(dropout=0.3, max_steps=4)))
    torch.rand(7)  # whatever else draws numbers
    assert losses_of(*begin(tiny_recipe(dropout=0.3, max_steps=4))) == one
    assert losses_of(*begin(tiny_recipe(dropout=0.3, max_steps=4, seed=43))) != one


def test_half_precision_scales_its_loss_and_learns_what_full_precision_learns(
    tiny_recipe: Make, begin: Begin
) -> None:
    full = losses_of(*begin(tiny_recipe(precision="fp32")), steps=8)
    state, work = begin(tiny_recipe(precision="fp16", device="auto"))
    updates = list(itertools.islice(train_steps(state, work), 8))
    assert [float(update.loss) for update in updates] == pytest.approx(full, abs=5e-3)
    assert state.scaler is not None
    assert state.scaler.get_scale() > 1
    assert all(bool(update.finite) for update in updates)
    assert float(updates[-1].gradient_norm) < 100, (
        "gradients are unscaled before they are measured and clipped"
    )

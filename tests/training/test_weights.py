"""Masters in fp32 beside what the model multiplies with: nothing small is lost, nothing needless is copied."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunewell.training.weights import Weights


def model_of_two() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Linear(4, 2))


def test_updates_too_small_for_bf16_add_up() -> None:
    model = model_of_two()
    weights = Weights(model, torch.bfloat16)
    with torch.no_grad():
        weights.masters["1.weight"].fill_(1.0)
    weights.load({name: master.clone() for name, master in weights.masters.items()})
    lost = model[1].weight.detach().clone()
    for _ in range(100):
        weights.masters["1.weight"].grad = torch.ones(2, 4)
        with torch.no_grad():
            weights.masters["1.weight"] += 1e-4
            lost += 1e-4
        weights.publish()
        weights.clear_gradients()
    torch.testing.assert_close(weights.masters["1.weight"].detach(), torch.full((2, 4), 1.01))
    assert (lost == 1.0).all(), "the premise: bf16 alone loses them"
    assert model[1].weight.dtype == torch.bfloat16
    assert (model[1].weight == torch.tensor(1.01, dtype=torch.bfloat16)).all()


def test_fp32_copies_nothing() -> None:
    model = model_of_two()
    weights = Weights(model, torch.float32)
    assert all(weights.masters[name] is parameter for name, parameter in model.named_parameters())


def test_gradients_of_micro_batches_are_added_in_fp32() -> None:
    model = model_of_two()
    weights = Weights(model, torch.bfloat16)
    for _ in range(300):  # in bf16 the sum would stand still at 256
        model[1].weight.grad = torch.ones(2, 4, dtype=torch.bfloat16)
        weights.gather_gradients()
    assert model[1].weight.grad is None
    assert weights.masters["1.weight"].grad is not None
    assert (weights.masters["1.weight"].grad == 300).all()


def test_sparse_gradients_are_added_and_only_their_rows_published() -> None:
    model = model_of_two()
    weights = Weights(model, torch.bfloat16)
    before = model[0].weight.detach().clone()
    for rows in ([1, 2], [2, 7]):
        model[0](torch.tensor(rows)).sum().backward()
        weights.gather_gradients()
    table = weights.masters["0.weight"]
    assert table.grad is not None
    dense = table.grad.to_dense()
    assert dense.dtype == torch.float32
    assert dense[:, 0].tolist() == [0, 1, 2, 0, 0, 0, 0, 1, 0, 0]
    with torch.no_grad():
        table += 1.0
    weights.publish()
    changed = (model[0].weight != before).any(dim=1)
    assert changed.tolist() == [row in {1, 2, 7} for row in range(10)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_weights_are_shown_for_a_while_and_taken_back_even_after_an_error(dtype: torch.dtype) -> None:
    model = model_of_two()
    weights = Weights(model, dtype)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    def look() -> None:
        with weights.showing({"1.bias": torch.full((2,), 5.0)}):
            assert (model[1].bias == 5).all()
            assert torch.equal(model[1].weight, before["1.weight"])
            raise RuntimeError("while they are shown")

    with pytest.raises(RuntimeError, match="shown"):
        look()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    with weights.showing(None):
        assert torch.equal(model[1].bias, before["1.bias"])


def test_averaged_weights_take_the_place_of_masters_where_there_are_any() -> None:
    weights = Weights(model_of_two(), torch.bfloat16)
    full = weights.full({"1.bias": torch.full((2,), 5.0)})
    assert list(full) == ["0.weight", "1.weight", "1.bias"]
    assert (full["1.bias"] == 5).all()
    assert all(tensor.dtype == torch.float32 for tensor in full.values())


def test_a_pruned_model_trains_only_what_requires_gradients() -> None:
    model = model_of_two()
    model[0].weight.requires_grad_(False)
    assert list(Weights(model, torch.bfloat16).trainable()) == ["1.weight", "1.bias"]

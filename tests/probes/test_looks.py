"""Single looks: modes, optimizer, inputs, memory, samples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from tunewell.probes import memory
from tunewell.probes.inputs import first_tensor, is_distribution, mean_and_std, spread
from tunewell.probes.modes import Modes
from tunewell.probes.optimizer import epsilon_share, not_optimized, smallest_numbers, zero_shares
from tunewell.probes.samples import Samples, evenly


def test_modules_that_switch_are_found_and_those_of_frozen_parts_excused() -> None:
    body = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    model = nn.Sequential(
        body, nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.0)), nn.GRU(4, 4, 2, dropout=0.1)
    )
    modes = Modes(model)
    assert list(modes.switching) == ["0.1", "1.1", "2"]
    assert modes.in_training() == ["0.1", "1.1", "2"]
    model.eval()
    assert modes.in_evaluation() == ["0.1", "1.1", "2"]
    body.requires_grad_(False)
    assert modes.in_evaluation() == ["1.1", "2"]


def test_parameters_in_no_group_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].bias.requires_grad_(False)
    optimizer = SGD(model[0].parameters(), 0.1)
    assert not_optimized(dict(model.named_parameters()), optimizer) == ["1.weight"]


def test_the_share_of_moments_below_epsilon() -> None:
    weights = nn.Parameter(torch.ones(100))
    optimizer = Adam([weights], eps=1e-2)
    assert epsilon_share(optimizer) is None
    weights.grad = torch.cat([torch.full((30,), 1.0), torch.full((60,), 1e-4), torch.zeros(10)])
    optimizer.step()
    found = epsilon_share(optimizer)
    assert found is not None
    assert found[0] == 1e-2
    assert found[1].item() == pytest.approx(60 / 90), "what never moved does not count"
    assert epsilon_share(SGD([weights], 0.1)) is None


def test_zeros_are_counted_by_layer_and_matrices_count_as_large_as_they_are() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 10))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    model[1].weight.grad[:5] = 0.0
    parameters = dict(model.named_parameters())
    layers = {"0.weight": "embed", "1.weight": "head", "1.bias": "head"}
    shares = zero_shares(parameters, layers, frozenset({"embed"}))
    assert {layer: share.item() for layer, share in shares.items()} == {"head": pytest.approx(20 / 50)}
    assert zero_shares({}, {}, frozenset()) == {}


def test_the_smallest_number_shows_a_hole_around_zero() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 64)
    layer.weight.grad = torch.randn(64, 64)
    names = {"weight": "a", "bias": "a"}
    whole = smallest_numbers(dict(layer.named_parameters()), names, frozenset())["a"].item()
    assert whole < 0.01
    layer.weight.grad = (layer.weight.grad * 2).round() / 2
    rounded = smallest_numbers(dict(layer.named_parameters()), names, frozenset())["a"].item()
    assert rounded > 0.3
    layer.weight.grad.zero_()
    assert math.isnan(smallest_numbers(dict(layer.named_parameters()), names, frozenset())["a"].item())


def test_inputs_are_found_and_measured() -> None:
    images = torch.arange(8.0).reshape(2, 4)
    assert first_tensor(({"ids": None, "pixels": [images]}, 3)) is images
    assert first_tensor((torch.tensor(3.0), "text")) is None
    moments = mean_and_std(images)
    assert moments is not None
    assert [moment.item() for moment in moments] == pytest.approx([3.5, images.std().item()])
    assert mean_and_std(torch.ones(3, dtype=torch.int64)) is None
    assert mean_and_std(torch.ones(1, 1)) is None


def test_answers_that_do_not_differ_have_no_spread() -> None:
    alike = spread(torch.ones(4, 3))
    assert alike is not None
    assert alike.item() == 0.0
    different = spread(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert different is not None
    assert different.item() == pytest.approx(2**0.5 / 2)
    assert spread(torch.ones(4)) is None


def test_distributions_are_told_from_logits() -> None:
    assert is_distribution(torch.randn(5, 3).softmax(1))
    assert not is_distribution(torch.randn(5, 3))
    assert not is_distribution(torch.randn(5, 3).log_softmax(1))
    assert not is_distribution(None)


def test_memory_and_disk_are_told(tmp_path: Path) -> None:
    device = torch.device("cpu")
    held, limit = memory.held(device), memory.limit(device)
    assert held is not None
    assert limit is not None
    assert 0 < held < limit
    assert (memory.disk_free(tmp_path) or 0) > 0
    assert memory.disk_free(tmp_path / "missing") is None
    (tmp_path / "file").write_bytes(b"12345")
    assert memory.file_bytes(tmp_path / "file") == 5
    assert memory.file_bytes(tmp_path / "none") is None


def test_samples_are_even_and_meet_every_column() -> None:
    assert len(evenly(torch.arange(1000), 100)) == pytest.approx(100, abs=15)
    matrix = torch.arange(16).repeat(256)  # columns of a matrix of 16
    assert set(evenly(matrix, 256).tolist()) == set(range(16))
    samples = Samples([torch.ones(3), torch.full((1000,), 2.0)], 10)
    assert samples.sizes.tolist() == [3, 1000]
    assert (samples.sums(samples.numbers) / samples.counts).tolist() == [1, 2]
    assert samples.least(samples.numbers).tolist() == [1, 2]

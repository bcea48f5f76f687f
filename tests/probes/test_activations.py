"""Silent and saturated units, whether the activation is a module or a function."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunewell.probes.activations import silent_and_saturated


def looked(model: nn.Module, inputs: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    names = {parameter: name.rpartition(".")[0] for name, parameter in model.named_parameters()}
    silent, saturated = silent_and_saturated(model(inputs).sum(), names)
    return (
        {name: share.item() for name, share in silent.items()},
        {name: share.item() for name, share in saturated.items()},
    )


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU(), nn.SiLU(), nn.ReLU(inplace=True)])
def test_units_that_never_let_anything_through_are_silent(activation: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 10), activation, nn.Linear(10, 2))
    silent, _ = looked(model, torch.randn(64, 8))
    assert max(silent.values()) == 0.0
    with torch.no_grad():
        model[0].bias[:7] = -30.0
    silent, _ = looked(model, torch.randn(64, 8))
    (name,) = silent
    assert name.startswith("0.")
    assert silent[name] == pytest.approx(0.7)


def test_functions_count_as_modules_do_and_channels_are_units() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, images: Tensor) -> Tensor:
            return F.relu(self.norm(self.conv(images)))

    model = Net()
    with torch.no_grad():
        model.norm.bias[0] = -50.0
    silent, _ = looked(model, torch.randn(8, 1, 8, 8))
    assert list(silent.values()) == [pytest.approx(0.25)]


def test_outputs_at_their_bounds_are_counted() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 10), nn.Sigmoid())
    _, saturated = looked(model, torch.randn(64, 8))
    assert list(saturated) == ["0.tanh", "2.sigmoid"], "from input to output"
    assert max(saturated.values()) < 0.05
    with torch.no_grad():
        model[2].weight.mul_(1e3)
    assert looked(model, torch.randn(64, 8))[1]["2.sigmoid"] > 0.9


def test_few_rows_say_nothing_and_eight_are_enough() -> None:
    model = nn.Sequential(nn.Linear(8, 10), nn.ReLU())
    silent, _ = looked(model, torch.randn(7, 8))
    assert math.isnan(silent["0.relu"]), "there is one, and nothing can be told of it"
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    assert looked(model, torch.randn(8, 8))[0] == {"0.relu": 1.0}

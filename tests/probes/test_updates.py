"""How far an update moved each layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunewell.probes.updates import SAMPLE, UpdateProbe


def moved(parameters: dict[str, nn.Parameter], change: dict[str, torch.Tensor]) -> dict[str, float]:
    probe = UpdateProbe(parameters)
    with torch.no_grad():
        for name, tensor in change.items():
            parameters[name] += tensor
    layers = {name: name.split(".")[0] for name in parameters}
    return {layer: float(value) for layer, value in probe.by_layer(layers, ["body", "head", "none"]).items()}


def test_small_layers_exactly() -> None:
    torch.manual_seed(0)
    parameters = {name: nn.Parameter(torch.randn(30, 7)) for name in ("body.a", "body.b", "head.a")}
    change = {"body.a": torch.randn(30, 7) * 0.01, "body.b": torch.randn(30, 7) * 0.1}
    sizes = torch.cat([parameters["body.a"], parameters["body.b"]]).norm().item()
    found = moved(parameters, change)
    assert found == pytest.approx(
        {"body": torch.cat(list(change.values())).norm().item() / sizes, "head": 0.0}, rel=1e-5
    )


def test_large_layers_from_a_sample() -> None:
    torch.manual_seed(0)
    parameters = {
        "body.big": nn.Parameter(torch.randn(SAMPLE * 20 + 3)),
        "body.small": nn.Parameter(torch.randn(50)),
    }
    change = {"body.big": torch.randn(SAMPLE * 20 + 3) * 1e-3}
    assert moved(parameters, change)["body"] == pytest.approx(1e-3, rel=0.05)


def test_a_layer_of_zeros() -> None:
    assert moved({"head.bias": nn.Parameter(torch.zeros(4))}, {"head.bias": torch.ones(4)})["head"] > 1e6

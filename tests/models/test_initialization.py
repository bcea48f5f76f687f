"""New layers drawn as asked: the spread of each method, zero biases, the rest untouched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunewell.models.initialization import initialize


def layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"old": nn.Linear(200, 100), "new": nn.Linear(200, 100), "norm": nn.LayerNorm(100)})


@pytest.mark.parametrize(
    ("method", "spread"),
    [("xavier", (2 / 300) ** 0.5), ("kaiming", (1 / 200) ** 0.5), ("orthogonal", 200**-0.5)],
)
def test_the_new_are_drawn_and_the_old_stay(method: str, spread: float) -> None:
    model, before = layers(), layers().state_dict()
    nn.init.ones_(model["new"].bias)
    initialize(model, ["new.weight", "new.bias", "norm.weight", "gone.weight"], method, seed=3)
    assert model["new"].weight.std().item() == pytest.approx(spread, rel=0.02)
    assert (model["new"].bias == 0).all()
    assert (model["norm"].weight == 1).all()
    assert torch.equal(model["old"].weight, before["old.weight"])
    if method == "orthogonal":
        product = model["new"].weight @ model["new"].weight.T
        torch.testing.assert_close(product, torch.eye(100), rtol=0, atol=1e-4)
    again = layers()
    initialize(again, ["new.weight"], method, seed=3)
    assert torch.equal(again["new"].weight, model["new"].weight)

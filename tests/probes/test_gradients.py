"""Gradient norms against the plain formula, dense and sparse; clipping."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunewell.probes.gradients import GradientNorms


def parameters() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    table, weight, bias, still = (nn.Parameter(torch.randn(*shape)) for shape in ((9, 4), (4, 3), (3,), (5,)))
    rows = nn.functional.embedding(torch.tensor([1, 1, 7]), table, sparse=True)
    (rows @ weight + bias).square().sum().backward()
    return {"table": table, "weight": weight, "bias": bias, "still": still}


LAYERS = {"table": "embeddings", "weight": "layer.0", "bias": "layer.0", "still": "head"}
ORDER = ["embeddings", "layer.0", "head"]


def dense(parameter: nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad


def test_the_whole_and_each_layer() -> None:
    found = parameters()
    norms = GradientNorms(found)
    held = [dense(found[name]).flatten() for name in ("table", "weight", "bias")]
    torch.testing.assert_close(norms.total, torch.cat(held).norm())
    by_layer = norms.by_layer(LAYERS, ORDER)
    assert list(by_layer) == ["embeddings", "layer.0"]
    torch.testing.assert_close(by_layer["embeddings"], held[0].norm())
    torch.testing.assert_close(by_layer["layer.0"], torch.cat(held[1:]).norm())


def test_clipping_scales_all_gradients_alike() -> None:
    found = parameters()
    norms = GradientNorms(found)
    before = {name: dense(found[name]).clone() for name in ("table", "weight", "bias")}
    norms.clip(float(norms.total) * 2)
    assert all(torch.equal(dense(found[name]), tensor) for name, tensor in before.items())
    norms.clip(float(norms.total) / 5)
    for name, tensor in before.items():
        torch.testing.assert_close(dense(found[name]), tensor / 5)
    assert GradientNorms(found).total.item() == pytest.approx(norms.total.item() / 5, rel=1e-4)


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_a_gradient_that_is_not_finite_shows_in_the_whole(bad: float) -> None:
    found = parameters()
    dense(found["bias"])[1] = bad
    assert not torch.isfinite(GradientNorms(found).total)


def test_no_gradients_at_all() -> None:
    assert GradientNorms({"still": nn.Parameter(torch.ones(2))}).total == 0

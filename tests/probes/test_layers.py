"""Layers of any model, in the order of its forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tunewell.probes.layers import layers_of


def test_modules_with_weights_are_layers_and_normalisation_joins_the_one_before() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Linear(4, 2))
    layers = layers_of(model)
    assert layers.order == ["0", "3"]
    assert layers.of["1.weight"] == "0"
    assert layers.output == "3"


def test_repeated_blocks_are_layers() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.inner = nn.LayerNorm(4), nn.Linear(4, 4)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(9, 4)
            self.blocks = nn.ModuleList(Block() for _ in range(3))
            self.head = nn.Linear(4, 9)

    layers = layers_of(Net())
    assert layers.order == ["embed", "blocks.0", "blocks.1", "blocks.2", "head"]
    assert (layers.output, layers.embeddings) == ("head", {"embed"})


def test_the_order_is_that_of_the_forward_pass() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.body = nn.Linear(4, 2), nn.Linear(4, 4)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(self.body(inputs))

    model = Backwards()
    assert layers_of(model).output == "body"
    layers = layers_of(model, {model: 0, model.body: 1, model.head: 2})
    assert (layers.order, layers.output) == (["body", "head"], "head")


def test_an_output_that_shares_its_weights_is_named() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.body, self.head = (
                nn.Embedding(9, 4),
                nn.Linear(4, 4),
                nn.Linear(4, 9, bias=False),
            )
            self.head.weight = self.embed.weight

    model = Tied()
    called = {model: 0, model.embed: 1, model.body: 2, model.head: 3}
    layers = layers_of(model, called)
    assert (layers.order, layers.output) == (["embed", "body"], "head")


def test_parameters_of_the_model_itself_and_modules_without_a_matrix_have_a_layer() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

    layers = layers_of(Scale())
    assert (layers.order, layers.output) == (["model"], "")

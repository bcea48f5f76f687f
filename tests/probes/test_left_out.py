"""Parameters that one optimizer does not know: forgotten, or in the care of another."""

from __future__ import annotations

import torch
from torch import nn

import tunewell
from tunewell.probes.optimizer import LeftOut


def test_what_nothing_moves_stays_named_and_what_something_moves_does_not() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    left_out = LeftOut()
    assert left_out.names(parameters, optimizer) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    with torch.no_grad():
        model[1].weight.add_(1.0)
        model[1].bias.add_(1.0)
    assert left_out.names(parameters, optimizer) == ["2.weight", "2.bias"]
    assert left_out.moved == {"1.weight", "1.bias"}


def test_two_optimizers_of_one_model_raise_no_alarm() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    body = torch.optim.AdamW(model[0].parameters(), lr=1e-2)
    head = torch.optim.SGD(model[2].parameters(), lr=0.1)
    inputs, targets = torch.randn(32, 6), torch.randint(3, (32,))
    with tunewell.watch(model, body, total_steps=40, folder=None) as watch:
        for _ in range(40):
            loss = nn.functional.cross_entropy(model(inputs), targets)
            watch.loss(loss)
            loss.backward()
            for optimizer in (body, head):
                optimizer.step()
                optimizer.zero_grad()
    assert not [one for one in watch.findings if one.code == "parameters_not_updating"]
    assert watch.verdicts()["parameters_not_updating"].kind == "fine"

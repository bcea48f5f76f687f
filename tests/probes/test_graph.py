"""What the graph of a loss tells before its backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunewell.probes import graph

TARGETS = torch.tensor([0, 2, 1, -100, 2])


def logits() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(5, 3, requires_grad=True) * 1.0


def test_a_cross_entropy_gives_back_each_rows_loss() -> None:
    scores = logits()
    seen = graph.loss_seen(F.cross_entropy(scores, TARGETS))
    assert seen is not None
    torch.testing.assert_close(seen.losses, F.cross_entropy(scores, TARGETS, reduction="none").detach())
    assert seen.counts.tolist() == [True, True, True, False, True]
    assert (seen.is_all, seen.of_probabilities, seen.count.item()) == (True, False, 4)
    assert seen.log_probabilities is not None
    assert seen.log_probabilities.shape == (5, 3)
    assert seen.guessing is not None
    assert seen.guessing.item() == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("objective", "is_all"),
    [
        (lambda loss: loss / 4, True),
        (lambda loss: 0.5 * loss, True),
        (lambda loss: loss.to(torch.float64).squeeze(), True),
        (lambda loss: loss + 0.1, False),
        (lambda loss: loss + loss.exp(), False),
    ],
)
def test_an_objective_is_the_loss_alone_or_not(objective: Callable[[Tensor], Tensor], is_all: bool) -> None:
    seen = graph.loss_seen(objective(F.cross_entropy(logits(), TARGETS)))
    assert seen is not None
    assert seen.is_all is is_all


def test_class_weights_and_sums_are_understood() -> None:
    weight = torch.tensor([1.0, 2.0, 3.0])
    seen = graph.loss_seen(F.cross_entropy(logits(), TARGETS, weight=weight))
    assert seen is not None
    assert seen.loss_sum / seen.count == pytest.approx(
        F.cross_entropy(logits(), TARGETS, weight=weight).item()
    )
    summed = graph.loss_seen(F.cross_entropy(logits(), TARGETS, reduction="sum"))
    assert summed is not None
    assert summed.loss_sum.item() == pytest.approx(F.cross_entropy(logits(), TARGETS, reduction="sum").item())
    rows = graph.loss_seen((F.cross_entropy(logits(), TARGETS, reduction="none") * torch.arange(5.0)).mean())
    assert rows is not None
    assert not rows.is_all, "rows with weights of their own"


def test_targets_by_position_are_understood() -> None:
    scores = torch.randn(4, 3, 7, requires_grad=True) * 1.0
    targets = torch.randint(3, (4, 7))
    seen = graph.loss_seen(F.cross_entropy(scores, targets))
    assert seen is not None
    losses = F.cross_entropy(scores, targets, reduction="none").detach()
    torch.testing.assert_close(seen.losses.reshape(losses.shape), losses)


def test_probabilities_in_place_of_logits_are_seen() -> None:
    for probabilities in (logits().softmax(1), nn.Softmax(1)(logits()), logits().sigmoid()):
        seen = graph.loss_seen(F.cross_entropy(probabilities, TARGETS))
        assert seen is not None
        assert seen.of_probabilities
    seen = graph.loss_seen(F.cross_entropy(logits().softmax(1).log(), TARGETS))
    assert seen is not None
    assert not seen.of_probabilities
    binary = graph.loss_seen(F.binary_cross_entropy_with_logits(logits().sigmoid(), torch.ones(5, 3)))
    assert binary is not None
    assert binary.of_probabilities


def test_squared_and_binary_errors_are_seen_and_others_not() -> None:
    scores = logits()
    for function in (F.mse_loss, F.binary_cross_entropy_with_logits):
        loss = function(scores, torch.ones(5, 3))
        seen = graph.loss_seen(loss)
        assert seen is not None
        assert (seen.loss_sum / seen.count).item() == pytest.approx(loss.item())
    assert graph.loss_seen(scores.square().sum()) is None
    assert graph.loss_seen(torch.tensor(1.0)) is None


def test_a_smoothed_cross_entropy_is_found_and_not_taken_for_all() -> None:
    seen = graph.loss_seen(F.cross_entropy(logits(), TARGETS, label_smoothing=0.1))
    assert seen is not None
    assert not seen.is_all


def test_classes_alone_are_read_without_computing() -> None:
    loss = F.cross_entropy(logits(), TARGETS) / 2
    found = graph.classes_seen(loss)
    assert found is not None
    assert found.tolist() == TARGETS.tolist()
    assert graph.classes_seen(F.mse_loss(logits(), torch.ones(5, 3))) is None


def test_a_division_by_a_whole_number_is_told() -> None:
    loss = F.cross_entropy(logits(), TARGETS)
    assert graph.divisor(loss) == 1.0
    assert graph.divisor(loss / 4) == 4.0
    assert graph.divisor(loss * 0.25) == 4.0
    assert graph.divisor(loss * 0.3) == 1.0
    assert graph.divisor(loss * 2) == 1.0


def test_a_graph_that_is_gone_is_an_error() -> None:
    loss = F.cross_entropy(logits(), TARGETS)
    loss.backward()
    with pytest.raises(RuntimeError):
        graph.loss_seen(loss)

"""Each self-test passes a sound model and names what is planted in an unsound one; a run is what it is without them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conftest import measured
from tunewell.inspections import Tested
from tunewell.recipe import Recipe
from tunewell.training import driver, self_tests
from tunewell.training.rehearsal import rehearse
from tunewell.training.setup import begin, prepare_run

Make = Callable[..., Recipe]


class Classifier(nn.Module):
    """An MLP with dropout, batch normalisation and, where asked for, a fault."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fault = fault
        self.first, self.norm, self.drop = nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Dropout(0.5)
        self.middle, self.last, self.spare = nn.Linear(32, 32), nn.Linear(32, 4), nn.Linear(2, 2)
        for parameter in self.spare.parameters():
            parameter.requires_grad = fault == "unused layer"

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.drop(torch.relu(self.norm(self.first(inputs))))
        if self.fault == "noise of its own" or (self.fault == "scaled in training" and self.training):
            hidden = hidden * (torch.rand(()) if self.fault == "noise of its own" else 2.0)
        if self.fault == "cut off":
            hidden = hidden.detach()
        hidden = torch.relu(self.middle(hidden))
        return self.last(hidden) * (0.0 if self.fault == "outputs nothing" else 1.0)


def loss_of(model: nn.Module, double: bool = False) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(16, 8, generator=generator)
    targets = torch.arange(16) % 4

    def loss() -> Tensor:
        outputs = model(inputs)
        return F.cross_entropy(outputs.softmax(-1) if double else outputs, targets)

    return loss


def moves_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> self_tests.Moves:
    loss, trained = loss_of(model), {n: p for n, p in model.named_parameters() if p.requires_grad}

    def step() -> None:
        optimizer.step()
        model.zero_grad()

    return self_tests.make_updates(trained, lambda: loss().backward(), step)


def test_a_sound_model_passes() -> None:
    model = Classifier()
    modes = [module.training for module in model.modules()]
    assert self_tests.repeats(model, loss_of(model)).passed
    assert self_tests.modes_agree(model, loss_of(model), within=1e-4).passed
    assert [module.training for module in model.modules()] == modes
    assert model.drop.p == 0.5
    moves = moves_of(model, torch.optim.SGD(model.parameters(), 0.1))
    assert self_tests.gradients_reach(moves).passed
    assert self_tests.parameters_move(moves).passed
    fitted = self_tests.fits_one_batch(model, loss_of(model), rows=16, updates=24)
    assert fitted.passed, fitted.detail


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("noise of its own", self_tests.repeats),
        ("scaled in training", functools.partial(self_tests.modes_agree, within=1e-4)),
    ],
)
def test_modes_and_noise(fault: str, test: Callable[..., Tested]) -> None:
    model = Classifier(fault)
    assert test(model, loss_of(model)).passed is False


@pytest.mark.parametrize(
    ("fault", "layers"),
    [
        ("unused layer", ["spare.weight", "spare.bias"]),
        ("cut off", ["first.weight", "first.bias", "norm.weight", "norm.bias"]),
    ],
)
def test_parameters_without_a_gradient_are_named(fault: str, layers: list[str]) -> None:
    model = Classifier(fault)
    moves = moves_of(model, torch.optim.SGD(model.parameters(), 0.1))
    answer = self_tests.gradients_reach(moves)
    assert (answer.passed, answer.layers) == (False, layers)
    assert self_tests.parameters_move(moves).passed


def test_zero_gradients_are_not_taken_for_reached_ones() -> None:
    model = Classifier("outputs nothing")
    answer = self_tests.gradients_reach(moves_of(model, torch.optim.SGD(model.parameters(), 0.1)))
    assert answer.passed is False
    assert answer.numbers["zero"] == 8


def test_weights_of_zero_let_gradients_through_from_the_second_update_on() -> None:
    model = Classifier()
    nn.init.zeros_(model.last.weight)
    assert self_tests.gradients_reach(moves_of(model, torch.optim.SGD(model.parameters(), 0.1))).passed


def test_an_optimizer_of_other_parameters_is_found() -> None:
    model = Classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.last = nn.Linear(32, 4)
    answer = self_tests.parameters_move(moves_of(model, optimizer))
    assert (answer.passed, answer.layers) == (False, ["last.weight", "last.bias"])


def test_no_update_is_made_of_gradients_that_are_not_finite() -> None:
    moves = self_tests.Moves(gradients={"a": math.inf, "b": 1.0}, trained=["a", "b"], still=["a", "b"])
    assert self_tests.parameters_move(moves).passed is None
    answer = self_tests.gradients_reach(moves)
    assert (answer.passed, answer.layers) == (False, ["a"])


def test_a_first_loss_is_that_of_knowing_nothing() -> None:
    losses = math.log(4) + 0.05 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert self_tests.first_loss(losses, math.log(4), what="log(4)").passed
    assert self_tests.first_loss(losses / 5, math.log(4), what="log(4)").passed, (
        "a fitted head knows something"
    )
    assert self_tests.first_loss(losses * 9, math.log(4), what="log(4)").passed is False
    assert self_tests.first_loss(losses * math.nan, math.log(4), what="log(4)").passed is False


def test_a_double_softmax_can_not_memorise() -> None:
    model = Classifier()
    answer = self_tests.fits_one_batch(model, loss_of(model, double=True), rows=16, updates=40)
    assert answer.passed is False
    assert answer.numbers["best"] == pytest.approx(math.log(1 + 3 / math.e), abs=0.05)


def test_what_is_still_falling_is_not_called_unfit() -> None:
    model = Classifier()
    answer = self_tests.fits_one_batch(model, loss_of(model), rows=16, updates=3)
    assert answer.passed is None
    assert answer.numbers["updates"] == 3


@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_memorising_finds_its_rate_whatever_the_scale(scale: float) -> None:
    model = Classifier()
    with torch.no_grad():
        model.last.weight.mul_(scale)
    answer = self_tests.fits_one_batch(model, loss_of(model), rows=16, updates=40)
    assert answer.passed, answer.detail


def test_accumulation_padding_and_inputs() -> None:
    whole = {"a": torch.ones(4), "b": torch.arange(3.0)}
    assert self_tests.accumulation(
        whole, {n: g * (1 + 1e-6) for n, g in whole.items()}, 2, within=1e-4
    ).passed
    undivided = self_tests.accumulation(whole, {n: 2 * g for n, g in whole.items()}, 2, within=1e-4)
    assert undivided.passed is False
    assert undivided.numbers["ratio"] == pytest.approx(2)
    losses = torch.tensor([0.5, 0.7])
    assert self_tests.padding(losses, losses + 1e-6, within=1e-4).passed
    assert self_tests.padding(losses, losses + 0.1, within=1e-4).passed is False
    outputs = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert self_tests.inputs_matter(outputs, outputs.roll(1, 0)).passed
    assert self_tests.inputs_matter(outputs[:1].repeat(4, 1), outputs[:1].repeat(4, 1)).passed is False


def test_a_test_that_fails_is_answered_with_why() -> None:
    def broken() -> Tested:
        raise RuntimeError("this can't be\ndone at all")

    answer = self_tests.answered("repeats", broken)
    assert (answer.name, answer.passed, answer.detail) == (
        "repeats",
        None,
        "Not made: RuntimeError: this can't be.",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dropout": 0.3, "label_smoothing": 0.2, "class_weights": "balanced"},
        {"embeddings": "rows", "precision": "bf16"},
        {"stages": [{"train": "head", "num_epochs": 1}, {}], "optimizer": "sgd"},
    ],
    ids=["plain", "noise", "rows in bf16", "head first"],
)
def test_a_sound_run_passes_and_is_left_as_it_was(
    tiny_recipe: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    prepared = prepare_run(tiny_recipe(**changes), tmp_path)
    state = begin(prepared)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    optimizer, noise = state.optimizers.pack(), torch.random.get_rng_state()
    answers = rehearse(prepared, state)
    passed = {answer.name: answer.passed for answer in answers}
    head_alone = {"fits_one_batch": None} if "stages" in changes else {}  # on random features it takes longer
    assert passed == {**dict.fromkeys(self_tests.NAMES, True), **head_alone}, answers
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.model.state_dict().items())
    assert state.optimizers.pack().keys() == optimizer.keys() == set()
    assert torch.equal(torch.random.get_rng_state(), noise)
    assert all(p.grad is None for p in state.model.parameters())
    assert rehearse(prepared, state)[-1].numbers == answers[-1].numbers, "equal runs are tested equally"


def test_a_run_is_bit_for_bit_what_it_is_without(tiny_recipe: Make, tmp_path: Path) -> None:
    for name, tested in (("with", True), ("without", False)):
        recipe = tiny_recipe(output_dir=str(tmp_path / name), self_tests=tested, dropout=0.2, num_epochs=1)
        assert sum(isinstance(r, Tested) for r in driver.train(recipe)) == len(self_tests.NAMES) * tested
    one, other = (tmp_path / name for name in ("with", "without"))
    assert measured(one / "log.jsonl") == measured(other / "log.jsonl")
    weights = "model/model.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()


def test_what_costs_too_much_is_left_out_with_why(
    tiny_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunewell.training.rehearsal.FREE", 0.0)
    prepared = prepare_run(tiny_recipe(), tmp_path)
    answers = rehearse(prepared, begin(prepared))
    assert answers[-1].passed is None
    assert answers[-1].detail == "Not made: it would take more than 3% of this run."


def test_a_signal_ends_the_tests(tiny_recipe: Make, tmp_path: Path) -> None:
    prepared = prepare_run(tiny_recipe(), tmp_path)
    assert rehearse(prepared, begin(prepared), lambda _: True) == []

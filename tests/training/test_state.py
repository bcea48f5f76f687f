"""The state of a training: packed, unpacked, averaged."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest
import torch

from tunewell.recipe import Recipe
from tunewell.training.loop import Work, train_steps
from tunewell.training.state import Adjustments, TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]


def test_a_rollback_brings_back_all_but_the_adjustments(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe(ema_decay=0.9))
    list(itertools.islice(train_steps(state, work), 3))
    tensors, facts = state.pack()
    facts = json.loads(json.dumps(facts))
    list(itertools.islice(train_steps(state, work), 3))
    state.adjustments.rate_factor, state.adjustments.max_grad_norm = 0.25, 0.5
    state.adjustments.excluded_rows = [4]
    state.unpack(tensors, facts, work.plan.stages[0], keep_adjustments=True)
    assert (state.progress.step, state.adjustments.cursor) == (3, 6)
    assert state.adjustments.rate_factor == 0.25
    assert state.adjustments.excluded_rows == [4]
    again, _ = state.pack()
    for kind, parts in tensors.items():
        assert parts.keys() == again[kind].keys()
        assert all(torch.equal(tensor, again[kind][name]) for name, tensor in parts.items()), kind
    state.unpack(tensors, facts, work.plan.stages[0], keep_adjustments=False)
    assert state.adjustments == Adjustments(cursor=3, max_grad_norm=1.0)


def test_what_was_packed_does_not_move_on(tiny_recipe: Make, begin: Begin) -> None:
    state, work = begin(tiny_recipe(ema_decay=0.9))
    steps = train_steps(state, work)
    list(itertools.islice(steps, 3))
    tensors, facts = state.pack()
    copies = {kind: {n: t.clone() for n, t in parts.items()} for kind, parts in tensors.items()}
    state.adjustments.excluded_rows.append(7)
    list(itertools.islice(steps, 2))
    for kind, parts in tensors.items():
        assert all(torch.equal(tensor, copies[kind][name]) for name, tensor in parts.items()), kind
    assert facts["progress"]["step"] == 3
    assert facts["adjustments"]["excluded_rows"] == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_average_trails_the_fp32_weights(tiny_recipe: Make, begin: Begin, precision: str) -> None:
    state, work = begin(tiny_recipe(ema_decay=0.8, precision=precision, max_steps=30))
    name = "classifier.weight"
    expected = state.weights.masters[name].detach().clone()
    for update in train_steps(state, work):
        decay = min(0.8, (1 + update.step) / (10 + update.step))
        expected += (state.weights.masters[name].detach() - expected) * (1 - decay)
    assert state.average is not None
    torch.testing.assert_close(state.average[name], expected, rtol=0, atol=1e-6)
    assert not torch.equal(state.average[name], state.weights.masters[name])


def test_weights_that_are_not_finite_are_noticed(tiny_recipe: Make, begin: Begin) -> None:
    state, _ = begin(tiny_recipe())
    assert state.is_finite()
    with torch.no_grad():
        state.weights.masters["bert.embeddings.LayerNorm.bias"][3] = torch.inf
    assert not state.is_finite()

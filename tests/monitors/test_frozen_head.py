"""A frozen output layer: new, or trained before."""

from __future__ import annotations

from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.frozen_head import FrozenHead
from tunewell.records import Finding, Record

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]


def looks(look: Look, losses: list[float], **fields: object) -> list[Record]:
    usual = {
        "output_frozen": True,
        "output_layer": "head",
        "num_outputs": 10,
        "guessing_loss": 2.303,
        "output_std": 0.4,
    }
    return [look(step, mean_loss=loss, **(usual | fields)) for step, loss in enumerate(losses, 1)]


def test_a_new_head_that_nobody_trains_is_told_at_the_second_look(look: Look, found: Found) -> None:
    first = found(FrozenHead(), looks(look, [2.35, 2.29, 2.3]))[0]
    assert (first.step, first.severity) == (2, "critical")
    assert first.evidence["layers"] == ["head"]


def test_a_head_that_was_trained_before_may_be_frozen(look: Look, found: Found) -> None:
    language_model = looks(look, [2.6, 2.4, 2.5], num_outputs=50_000, guessing_loss=10.8, output_std=2.5)
    assert found(FrozenHead(), language_model) == []


def test_a_trained_head_on_new_answers_is_sure_and_wrong(look: Look, found: Found) -> None:
    assert found(FrozenHead(), looks(look, [6.1, 5.2, 5.5], output_std=4.0)) == []
    assert found(FrozenHead(), looks(look, [2.4, 2.3, 2.5], output_std=2.0)) == []


def test_a_head_that_trains_is_fine(look: Look, found: Found) -> None:
    assert found(FrozenHead(), looks(look, [2.3, 2.3, 2.3], output_frozen=False)) == []


def test_a_number_is_judged_by_what_answering_nothing_costs(look: Look, found: Found) -> None:
    numbers = {"num_outputs": None, "guessing_loss": 1.02, "output_std": 3.0}
    assert found(FrozenHead(), looks(look, [1.0, 1.1], **numbers))
    assert found(FrozenHead(), looks(look, [0.4, 0.5], **numbers)) == []


def test_without_what_guessing_costs_it_is_blind(look: Look) -> None:
    monitor = FrozenHead()
    state, _ = monitor.update(monitor.init(), look(1, output_frozen=True, mean_loss=2.3))
    assert monitor.verdict(state).kind == "blind"

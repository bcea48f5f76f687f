"""What an update's time goes to and how busy the machine is: in our loop and in other people's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from integrations.watched_loops import cnn, looks_of, train, watched
from tunewell.inspections import Inspected
from tunewell.probes.machine import MachineUse
from tunewell.probes.phases import Phases
from tunewell.recipe import Recipe
from tunewell.records import Step
from tunewell.training import driver

CPU = torch.device("cpu")


def test_a_phase_that_comes_twice_counts_twice_and_one_that_breaks_not_at_all() -> None:
    phases = Phases(CPU)
    with phases.of("forward"):
        torch.ones(10).sum()
    once = phases.seconds["forward"]
    with phases.of("forward"):
        torch.ones(10).sum()
    assert phases.seconds["forward"] > once > 0
    with pytest.raises(ValueError, match="out of memory"), phases.of("backward"):
        raise ValueError("out of memory")
    assert set(phases.seconds) == {"forward"}


def test_monitors_count_as_the_mean_of_the_updates_since_the_look_before() -> None:
    use = MachineUse()
    update = Step(
        step=10, cursor=9, epoch=0.1, stage=0, loss=1.0, learning_rate=0.1, gradient_norm=1.0, rows=1, tokens=1,
        seconds=0.3, data_seconds=0.01,
    )  # fmt: skip
    look = Inspected(step=10, phase_seconds={"forward": 0.2})
    first = use.added(look, update, CPU, monitor_seconds=0.5)
    second = use.added(
        msgspec.structs.replace(look, step=30),
        msgspec.structs.replace(update, step=30),
        CPU,
        monitor_seconds=0.9,
    )
    assert first.phase_seconds == {"data": 0.01, "forward": 0.2, "monitors": pytest.approx(0.05)}
    assert (second.phase_seconds or {})["monitors"] == pytest.approx(0.02)
    for share in (second.process_share, second.machine_share):
        assert share is not None
        assert 0 <= share <= 1
    assert second.gpu_share is None


def test_our_loop_tells_where_the_time_of_a_look_went(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe(num_epochs=1, gradient_accumulation_steps=2, self_tests=False)
    records = list(driver.train(recipe, tmp_path))
    seconds = {one.step: one.seconds for one in records if isinstance(one, Step)}
    looks = [one for one in records if isinstance(one, Inspected)]
    assert looks
    for look in looks:
        phases = look.phase_seconds or {}
        assert list(phases) == ["data", "forward", "backward", "optimizer", "monitors"]
        assert 0 < sum(phases.values()) - phases["monitors"] <= seconds[look.step]


def test_a_watched_loop_tells_where_the_time_of_a_look_went() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    train(model, optimizer, watch, 12)
    watch.close()
    for look in looks_of(watch):
        phases = look.phase_seconds or {}
        assert list(phases) == ["data", "forward", "backward", "optimizer", "monitors"]
        assert min(phases["forward"], phases["backward"], phases["optimizer"]) > 0

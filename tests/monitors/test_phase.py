from __future__ import annotations

from collections.abc import Callable

from tunewell.monitors import _phase
from tunewell.records import StageBegan, Step


def run(rates: list[float], step: Callable[..., Step]) -> tuple[list[bool], dict[str, float]]:
    phase, begun = _phase.init(), []
    for number, rate in enumerate(rates, 1):
        record = step(number, learning_rate=rate)
        phase = _phase.follow(phase, record)
        begun.append(_phase.begins(phase, record))
    return begun, phase


def test_warm_up_and_decay_are_one_phase(step: Callable[..., Step]) -> None:
    begun, phase = run([1, 2, 3, 4, 3, 2, 1], step)
    assert begun == [True] + [False] * 6
    assert phase["past_warmup"] == 3


def test_a_rate_that_leaps_back_to_its_peak_is_a_warm_restart(step: Callable[..., Step]) -> None:
    begun, phase = run([4, 3, 2, 1, 4, 3], step)
    assert begun == [True, False, False, False, True, False]
    assert phase["first"] == 5


def test_a_rate_that_leaps_above_its_peak_is_not(step: Callable[..., Step]) -> None:
    begun, _ = run([4, 3, 2, 200], step)
    assert begun == [True, False, False, False]
    _, phase = run([4, 3, 2], step)
    assert _phase.rate_jump(phase, step(4, learning_rate=200.0)) == 50
    assert _phase.rate_jump(phase, step(4, learning_rate=2.0)) == 1


def test_a_stage_knows_its_steps() -> None:
    began = StageBegan(
        step=100,
        stage=1,
        name="all",
        trainable_parameters=1,
        total_parameters=1,
        first_step=101,
        last_step=300,
    )
    phase = _phase.follow(_phase.init(), began)
    assert _phase.begins(phase, began)
    assert (phase["first"], phase["last"], phase["updates"]) == (101, 300, 0)

"""Nothing that a record may hold, absent fields and numbers that are none included, breaks a monitor."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewell.inspections import Inspected
from tunewell.monitors import Watch, build
from tunewell.records import Eval, Record, StageBegan, Started, Step

NUMBER = st.one_of(
    st.floats(0, 10),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 1e38]),
)
NAMES = st.sampled_from(["a", "b", "c"])
BY_NAME = st.dictionaries(NAMES, NUMBER, max_size=3)
COUNTS = st.dictionaries(NAMES, st.integers(0, 50), max_size=3)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def steps(number: int) -> st.SearchStrategy[Step]:
    return st.builds(
        Step, step=st.just(number), cursor=st.just(number), epoch=NUMBER, stage=st.just(0), loss=NUMBER,
        learning_rate=NUMBER, gradient_norm=NUMBER, max_grad_norm=maybe(st.floats(0.1, 10)), skipped=st.booleans(),
        rows=st.integers(0, 64), tokens=st.integers(0, 64), seconds=NUMBER, data_seconds=NUMBER,
        layer_gradients=maybe(BY_NAME), layer_updates=maybe(BY_NAME),
        worst_rows=st.lists(st.tuples(st.integers(0, 9), NUMBER), max_size=2), label_counts=maybe(COUNTS),
    )  # fmt: skip


def evaluations(number: int) -> st.SearchStrategy[Eval]:
    return st.builds(
        Eval, step=st.just(number), epoch=NUMBER, split=st.sampled_from(["validation", "old"]), loss=NUMBER,
        metrics=st.dictionaries(st.sampled_from(["accuracy", "mse"]), NUMBER, max_size=2), rows=st.integers(0, 800),
        seconds=NUMBER, train_loss=maybe(NUMBER), recalls=BY_NAME, class_rows=COUNTS,
        confusion=maybe(st.lists(st.lists(st.integers(0, 40), min_size=2, max_size=2), min_size=2, max_size=2)),
        in_training=maybe(st.lists(NAMES, max_size=2)),
    )  # fmt: skip


def looks(number: int) -> st.SearchStrategy[Inspected]:
    return st.builds(
        Inspected, step=st.just(number), objective=maybe(NUMBER), mean_loss=maybe(NUMBER), stale_gradient=maybe(NUMBER),
        epsilon=maybe(NUMBER), epsilon_share=maybe(NUMBER), zero_gradients=maybe(BY_NAME), silent_units=maybe(BY_NAME),
        saturated_units=maybe(BY_NAME), input_mean=maybe(NUMBER), input_std=maybe(NUMBER), output_std=maybe(NUMBER),
        memory_bytes=maybe(st.integers(0, 100)), memory_limit=maybe(st.integers(0, 100)),
        disk_free=maybe(st.integers(0, 100)), disk_needed=maybe(st.integers(0, 100)),
    )  # fmt: skip


STARTED = st.builds(
    Started, run=st.just("any"), recipe_hash=st.just(""), data_hash=st.just(""), fingerprint=st.just({}),
    total_steps=st.integers(0, 200), batches_per_epoch=st.integers(0, 20), num_rows=COUNTS,
    trainable_parameters=st.just(1), total_parameters=st.just(1), num_classes=st.integers(0, 3), class_counts=COUNTS,
)  # fmt: skip


@st.composite
def courses(draw: st.DrawFn) -> list[Record]:
    """A quiet stretch, so that monitors are armed, then anything, with looks and evaluations between."""
    begins = [draw(STARTED)] if draw(st.booleans()) else []
    quiet = draw(st.sampled_from([0, 3, 40, 70]))
    level = draw(st.sampled_from([0.0, 0.7, 1e30, -2.0]))
    course: list[Record] = [
        *begins,
        *(
            Step(
                step=number, cursor=number, epoch=0.0, stage=0, loss=level + 0.01 * (number % 7), learning_rate=1e-3,
                gradient_norm=1.0 + number % 5, rows=8, tokens=8, seconds=0.1,
                layer_gradients={"a": 1.0, "b": 2.0} if number % 10 == 0 else None,
            )
            for number in range(1, quiet + 1)
        ),
    ]  # fmt: skip
    for number in range(quiet + 1, quiet + 1 + draw(st.integers(1, 12))):
        course.append(draw(steps(number)))
        course += [draw(record(number)) for record in (evaluations, looks) if draw(st.integers(0, 3)) == 0]
        if draw(st.integers(0, 9)) == 0:
            course.append(
                StageBegan(
                    step=number, stage=1, name="", trainable_parameters=1, total_parameters=1, first_step=number + 1,
                    last_step=number,
                )
            )  # fmt: skip
    return course


@given(courses())
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_nothing_breaks_a_monitor_and_states_stay_json(course: list[Record]) -> None:
    watch = Watch(build({}))
    for record in course:
        for finding in watch.observe(record):
            assert finding.evidence.get("onset", 1) >= 1
            assert finding.summary.endswith(".")
    json.dumps(watch.pack(), allow_nan=False)
    assert all(verdict.text for verdict in watch.verdicts().values())

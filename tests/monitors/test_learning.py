from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tunewell.monitors import _learning
from tunewell.records import Eval, Record, Started, Step


def followed(records: list[Record]) -> dict[str, object]:
    learning = _learning.init()
    for record in records:
        learning = _learning.follow(learning, record)
    return learning


def test_guessing_is_known_from_the_labels(
    started: Callable[..., Started], step: Callable[..., Step]
) -> None:
    begun = started(num_classes=4, class_counts={"a": 97, "b": 1, "c": 1, "d": 1})
    learning = followed([begun, step(1, loss=1.3)])
    assert _learning.guessing(learning) == pytest.approx(math.log(4))
    assert learning["entropy"] == pytest.approx(0.168, abs=0.001)
    assert learning["majority"] == pytest.approx(0.97)


def test_a_loss_in_other_units_raises_what_guessing_costs(
    started: Callable[..., Started], step: Callable[..., Step]
) -> None:
    learning = followed([started(), step(1, loss=7.0), step(2, loss=6.9), step(3, loss=7.1)])
    assert _learning.guessing(learning) == pytest.approx(6.9)


@pytest.mark.parametrize(
    "fields", [{"num_classes": 0, "class_counts": {}}, {"num_classes": 1, "class_counts": {"a": 5}}]
)
def test_guessing_is_unknown_without_classes(
    started: Callable[..., Started], step: Callable[..., Step], fields: dict[str, object]
) -> None:
    learning = followed([started(**fields), *(step(number) for number in range(1, 40))])
    assert _learning.guessing(learning) is None
    assert _learning.start(learning) == _learning.scale(learning) == 0.5
    assert _learning.never_learned(learning)  # it stands where it began


def test_never_learned_ends_with_a_good_window_or_a_good_evaluation(
    started: Callable[..., Started], step: Callable[..., Step], evaluation: Callable[..., Eval]
) -> None:
    stuck: list[Record] = [started(), *(step(number, loss=0.7) for number in range(1, 41))]
    assert _learning.never_learned(followed(stuck))
    assert not _learning.never_learned(followed([*stuck, evaluation(40, loss=0.4)]))
    assert not _learning.never_learned(
        followed([*stuck, *(step(number, loss=0.3) for number in range(41, 80))])
    )


def test_refused_and_non_finite_updates_are_passed_over(
    started: Callable[..., Started], step: Callable[..., Step]
) -> None:
    learning = followed([started(), step(1, loss=math.nan), step(2, skipped=True), step(3, loss=0.6)])
    assert learning["losses"] == [0.6]


def test_lost_is_a_share_of_what_was_learned(
    started: Callable[..., Started], step: Callable[..., Step]
) -> None:
    learning = followed([started(), step(1, loss=0.69)])
    guess = math.log(2)
    assert _learning.lost(learning, 0.2, guess) == pytest.approx(1)
    assert _learning.lost(learning, 0.2, 0.2) == 0
    assert _learning.lost(learning, 0.2, (0.2 + guess) / 2) == pytest.approx(0.5)
    assert _learning.lost(learning, 0.9, 1.0) == 1  # nothing had been learned, and it got worse

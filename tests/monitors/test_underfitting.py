from __future__ import annotations

import random
from collections.abc import Callable

from tunewell.monitors import Monitor
from tunewell.monitors.underfitting import Underfitting
from tunewell.records import Eval, Finding, Record, Started, Step

Found = Callable[[Monitor, list[Record]], list[Finding]]
RNG = random.Random(0)


def test_telling_only_the_shares_of_unequal_classes_is_guessing(
    step: Callable[..., Step], started: Callable[..., Started], evaluation: Callable[..., Eval], found: Found
) -> None:
    begun = started(class_counts={"no": 3040, "yes": 160})
    losses = [0.69, 0.5, 0.3, *(RNG.gauss(0.2, 0.03) for _ in range(200))]
    steps: list[Record] = [step(number, loss=loss) for number, loss in enumerate(losses, 1)]
    told = found(Underfitting(), [begun, *steps[:60], evaluation(60, loss=0.2, accuracy=0.95), *steps[60:]])
    assert [one.code for one in told] == ["underfitting"]
    assert "0.199" in told[0].summary  # the entropy of the shares
    learned = evaluation(60, loss=0.15, accuracy=0.97)
    assert found(Underfitting(), [begun, *steps[:60], learned, *steps[60:]]) == []


def test_a_loss_kept_high_on_purpose_is_silent_if_an_evaluation_shows_learning(
    step: Callable[..., Step], started: Callable[..., Started], evaluation: Callable[..., Eval], found: Found
) -> None:
    steps: list[Record] = [step(number, loss=RNG.gauss(0.685, 0.01)) for number in range(1, 200)]
    assert len(found(Underfitting(), [started(), *steps])) == 1
    assert found(Underfitting(), [started(), *steps[:50], evaluation(50, loss=0.5), *steps[50:]]) == []


def test_a_rate_that_hardly_moves_anything_is_named_too_low(
    step: Callable[..., Step], started: Callable[..., Started], found: Found
) -> None:
    still: list[Record] = [
        step(number, loss=RNG.gauss(0.693, 0.01), layer_updates={"a": 1e-7, "b": 2e-7})
        for number in range(1, 200)
    ]
    (one,) = found(Underfitting(), [started(), *still])
    assert one.causes[0] == "learning rate too low"
    assert one.advice[0].startswith("raise `learning_rate`")

"""Zeros in gradients: rounded away, or rightly there."""

from __future__ import annotations

import math
from collections.abc import Callable

from tunewell.inspections import Inspected
from tunewell.monitors import Monitor
from tunewell.monitors.gradient_underflow import GradientUnderflow
from tunewell.records import Finding, Record

Found = Callable[[Monitor, list[Record]], list[Finding]]
Look = Callable[..., Inspected]

LAYERS = ("first", "second", "head")


def looks(look: Look, zeros: float, smallest: float, **odd: float) -> list[Record]:
    shares, holes = dict.fromkeys(LAYERS, zeros), dict.fromkeys(LAYERS, smallest) | odd
    return [look(number, zero_gradients=shares, smallest_gradients=holes) for number in (1, 2, 3)]


def test_zeros_beside_a_hole_are_told_at_the_second_look(look: Look, found: Found) -> None:
    first = found(GradientUnderflow(), looks(look, 0.6, 0.3))[0]
    assert first.step == 2
    assert first.evidence["layers"] == list(LAYERS)


def test_sparse_units_and_padding_leave_no_hole(look: Look, found: Found) -> None:
    assert found(GradientUnderflow(), looks(look, 0.9, 1e-4)) == []


def test_a_hole_without_zeros_has_lost_nothing(look: Look, found: Found) -> None:
    assert found(GradientUnderflow(), looks(look, 0.02, 0.1)) == []


def test_one_layer_of_three_is_no_underflow(look: Look, found: Found) -> None:
    assert found(GradientUnderflow(), looks(look, 0.6, 1e-4, head=0.3)) == []


def test_where_all_is_lost_no_hole_can_be_seen(look: Look, found: Found) -> None:
    nothing = {"first": 1.0, "second": 0.98, "head": 0.5}
    holes = {"first": math.nan, "second": math.nan, "head": 0.4}
    records: list[Record] = [look(n, zero_gradients=nothing, smallest_gradients=holes) for n in (1, 2)]
    assert found(GradientUnderflow(), records)[0].evidence["layers"] == ["head", "first", "second"]


def test_where_nearly_all_is_lost_the_output_layer_tells(look: Look, found: Found) -> None:
    def wiped(silent: float, head: float) -> list[Record]:
        zeros, nothing = {"first": 1.0, "second": 1.0, "head": head}, dict.fromkeys(LAYERS, math.nan)
        fields = {"zero_gradients": zeros, "smallest_gradients": nothing, "output_layer": "head"}
        return [look(number, silent_units={"second": silent}, **fields) for number in (1, 2)]

    assert found(GradientUnderflow(), wiped(silent=0.1, head=0.7))[0].evidence["layers"] == [
        "first",
        "second",
    ]
    assert found(GradientUnderflow(), wiped(silent=1.0, head=0.7)) == []
    assert found(GradientUnderflow(), wiped(silent=math.nan, head=0.7)) == [], "units may be silent unseen"
    assert found(GradientUnderflow(), wiped(silent=0.1, head=0.0)) == []

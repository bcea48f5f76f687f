from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewell.plugins import names
from tunewell.problems import RecipeError
from tunewell.recipe import Recipe
from tunewell.schedules import factor

ENDING = ["linear", "cosine", "polynomial", "warmup_stable_decay"]
lengths = st.integers(1, 3000).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total - 1)))


@pytest.mark.parametrize("name", names("schedules"))
@given(lengths=lengths)
def test_every_real_update_has_a_rate_in_bounds_and_it_only_falls_after_warmup(
    name: str, lengths: tuple[int, int]
) -> None:
    total, warmup = lengths
    factors = [factor(name, step, total, warmup) for step in range(total)]
    assert all(0 < value <= 1 for value in factors)
    assert factors[warmup] == max(factors)
    rising, falling = factors[: warmup + 1], factors[warmup:]
    assert rising == sorted(rising)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(falling))


@pytest.mark.parametrize("name", names("schedules"))
def test_an_empty_stage_and_a_step_beyond_the_end_are_defined(name: str) -> None:
    assert 0 <= factor(name, 0, 0, 0) <= 1
    assert 0 <= factor(name, 25, 20, 2) <= 1


def test_warmup_rises_in_equal_parts_and_reaches_the_peak() -> None:
    assert [factor("linear", step, 100, 3) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_the_last_update_is_the_smallest_part_above_zero() -> None:
    assert factor("linear", 9, 10, 0) == pytest.approx(0.1)
    assert factor("cosine", 9, 10, 0) == pytest.approx(0.5 * (1 + math.cos(0.9 * math.pi)))
    assert factor("polynomial", 9, 10, 0) == pytest.approx(0.01)


@pytest.mark.parametrize("name", ENDING)
def test_ending_schedules_are_at_zero_at_the_end(name: str) -> None:
    assert factor(name, 100, 100, 10) == pytest.approx(0)


def test_known_middles() -> None:
    assert factor("linear", 55, 100, 10) == pytest.approx(0.5)
    assert factor("cosine", 55, 100, 10) == pytest.approx(0.5)
    assert factor("polynomial", 55, 100, 10) == pytest.approx(0.25)
    assert factor("inverse_sqrt", 40, 100, 10) == pytest.approx(0.5)
    assert factor("warmup_stable_decay", 79, 100, 10) == 1
    assert factor("warmup_stable_decay", 85, 100, 10) == pytest.approx(0.5)
    assert factor("plateau", 99, 100, 10) == factor("constant", 99, 100, 10) == 1


def test_the_recipe_names_exactly_the_schedules_there_are() -> None:
    choices = Recipe.model_json_schema()["properties"]["lr_scheduler"]["enum"]
    assert sorted(choices) == names("schedules")


def test_an_unknown_schedule_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean `cosine`"):
        factor("cosin", 0, 10, 0)

"""The range test: what it suggests of curves that are known, that it suggests what trains, and that nothing is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunewell.problems import RecipeError
from tunewell.recipe import Recipe
from tunewell.records import Eval
from tunewell.training import driver
from tunewell.training.range_test import RangeTest, range_between, range_test, smooth, suggest
from tunewell.training.setup import prepare_run

Make = Callable[..., Recipe]
RATES = np.geomspace(1e-6, 0.3, 100)


def curve(fall_at: float, rise_at: float, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    """Return losses that fall from 0.69 to 0.1 about `fall_at` and rise to 2 about `rise_at`."""
    places = np.log10(RATES)
    fall = 0.59 / (1 + np.exp(-8 * (places - math.log10(fall_at))))
    rise = 1.9 / (1 + np.exp(-12 * (places - math.log10(rise_at))))
    return 0.69 - fall + rise + noise * np.random.default_rng(seed).standard_normal(100)


@pytest.mark.parametrize("seed", range(5))
def test_the_steepest_fall_is_suggested_where_the_break_is_far(seed: int) -> None:
    found = suggest(RATES, curve(1e-4, 5e-2, seed=seed))
    assert found.learning_rate == pytest.approx(1e-4, rel=0.6)
    assert found.broken == pytest.approx(5e-2, rel=0.6)
    assert "falls quickest" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_of_the_break_is_suggested_where_it_is_near(seed: int) -> None:
    found = suggest(RATES, curve(3e-3, 2e-2, seed=seed))
    assert found.broken is not None
    assert found.learning_rate == pytest.approx(found.broken / 10, rel=0.3)
    assert found.learning_rate < (found.steepest or 0)
    assert "a tenth of" in found.reason


def test_a_loss_that_is_not_finite_breaks_a_training() -> None:
    losses = curve(1e-4, 10.0)[:70]
    losses[65:] = math.nan
    found = suggest(RATES[:70], losses)
    assert found.broken == pytest.approx(float(RATES[65]))
    assert suggest(RATES, np.full(100, math.nan)).learning_rate is None


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_is_learned_nothing_is_suggested(seed: int) -> None:
    noise = np.random.default_rng(seed).standard_normal(100)
    found = suggest(RATES, 0.69 + 0.05 * noise)
    assert found.learning_rate is None
    assert "fell at no rate" in found.reason


def test_smoothing_delays_nothing() -> None:
    step = np.where(RATES < 1e-3, 1.0, 0.0)
    smoothed = smooth(RATES, step)
    assert RATES[int(np.argmin(np.abs(smoothed - 0.5)))] == pytest.approx(1e-3, rel=0.1)


def test_rates_and_updates_that_show_nothing_are_refused(tiny_recipe: Make) -> None:
    assert range_between(tiny_recipe(), None, None) == (1e-6, 0.3)
    assert range_between(tiny_recipe(optimizer="sgd"), None, 1.0) == (1e-4, 1.0)
    with pytest.raises(RecipeError, match=r"no rates from 1 to 0\.3"):
        range_between(tiny_recipe(), 1.0, None)
    with pytest.raises(RecipeError, match="5 updates show no course"):
        range_between(tiny_recipe(), None, None, updates=5)


def outcome_of(recipe: Recipe, base: Path) -> RangeTest:
    return range_test(prepare_run(recipe, base), between=(1e-6, 0.3))


def test_it_is_a_function_of_the_recipe_and_keeps_nothing(tiny_recipe: Make, tmp_path: Path) -> None:
    found = outcome_of(tiny_recipe(), tmp_path)
    assert not (tmp_path / "run").exists()
    assert found == outcome_of(tiny_recipe(), tmp_path)


@pytest.mark.slow
def test_what_it_suggests_trains_better_than_far_lower_or_higher_rates(
    tiny_recipe: Make, write_reviews: Callable[..., Path], tmp_path: Path
) -> None:
    data = {"train": str(write_reviews(count=480))}
    found = outcome_of(tiny_recipe(data), tmp_path)
    rate = found.suggestion.learning_rate
    assert rate is not None
    assert found.asked == 2e-3
    accuracies = {}
    for factor in (0.03, 1, 100):
        recipe = tiny_recipe(
            data,
            learning_rate=rate * factor,
            num_epochs=3,
            policy="observe",
            output_dir=str(tmp_path / f"run{factor}"),
        )
        evals = [record for record in driver.train(recipe) if isinstance(record, Eval)]
        accuracies[factor] = evals[-2].metrics["accuracy"]
    assert accuracies[1] > 0.95
    assert max(accuracies[0.03], accuracies[100]) < 0.9, accuracies

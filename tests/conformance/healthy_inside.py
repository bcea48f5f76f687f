"""What looks into a sound run show, and its self-tests: numbers as `tunewell.watch` measures them on small models."""

from __future__ import annotations

import math
import random

from tunewell.inspections import Inspected, Tested

FIRST_LOOKS = 3
"""Updates at the beginning that are all looked into."""
_NAMES = (
    "repeats",
    "modes_agree",
    "padding",
    "accumulation",
    "gradients_reach",
    "parameters_move",
    "inputs_matter",
)


def tested(classes: int) -> list[Tested]:
    """Return the self-tests of a sound run, all passed."""
    guessing = math.log(max(2, classes))
    numbers = {"loss": guessing + 0.02, "expected": guessing, "standard_error": 0.02, "rows": 64.0}
    first = Tested(
        name="first_loss", passed=True, detail="The first loss is as it should be.", numbers=numbers
    )
    others = [Tested(name=name, passed=True, detail="As it should be.") for name in _NAMES]
    fits = Tested(
        name="fits_one_batch", passed=True, detail="16 rows trained on again and again: loss 0.7 → 0.05."
    )
    return [first, *others, fits]


def inspected(
    seed: int, step: int, *, loss: float, classes: int, learned: float, frozen: tuple[str, ...]
) -> Inspected:
    """Return a look at update `step`; `learned` is the share of the task that is learned."""
    rng = random.Random(f"{seed} {step}")
    guessing = math.log(classes) if classes > 1 else 1.0
    layers = ["layer.0", "layer.1", "pooler", "classifier"]
    return Inspected(
        step=step,
        backward_passes=2,
        switching=13,
        in_evaluation=[],
        stale_gradient=0.0,
        objective=loss,
        mean_loss=loss,
        not_optimized=[],
        output_layer="classifier",
        output_frozen=False,
        output_gain=0.55 + 0.4 * learned,
        num_outputs=classes if classes > 1 else None,
        guessing_loss=guessing,
        frozen=list(frozen),
        epsilon=None if step == 1 else 1e-8,
        epsilon_share=None if step == 1 else 0.03 * rng.random(),
        zero_gradients={layer: 0.4 * rng.random() for layer in layers},
        smallest_gradients={layer: 10 ** rng.uniform(-5, -2.5) for layer in layers},
        silent_units={"layer.0.relu": 0.2 + 0.3 * rng.random(), "layer.1.gelu": 0.0},
        saturated_units={"pooler.tanh": 0.6 + 0.2 * rng.random()},
        schedule_ticks=1,
        outputs_are_probabilities=False,
        output_std=0.4 + 2 * learned,
        digests=["5f1c", "5f1c"],
        memory_bytes=4_000_000_000 + rng.randrange(50_000_000),
        memory_limit=16_000_000_000,
        disk_free=50_000_000_000,
        disk_needed=2_000_000_000,
    )  # fmt: skip

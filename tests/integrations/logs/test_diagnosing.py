"""What is said of other tools' runs: sound ones in silence, sick ones by name, and what could not be checked."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tunewell.integrations.logs import as_text, diagnosed, read, told
from tunewell.records import Finding, Note, Record

SAMPLES = Path(__file__).parent / "samples"


def diagnosis(path: Path, num_classes: int = 0) -> tuple[list[str], list[Record]]:
    records = diagnosed(read(path), {}, num_classes)
    return [r.code for r in records if isinstance(r, Finding) and r.severity != "info"], records


def verdicts(records: Sequence[Record]) -> str:
    return "\n".join(r.text for r in records if isinstance(r, Note) and r.topic == "verdict")


def table(tmp_path: Path, losses: Sequence[float], every: int = 10) -> Path:
    path = tmp_path / "log.csv"
    rows = [f"{(place + 1) * every},{loss}" for place, loss in enumerate(losses)]
    path.write_text("\n".join(["step,loss", *rows]) + "\n")
    return path


def falling(seed: int, count: int, start: float = 2.3, noise: float = 0.25) -> list[float]:
    rng = random.Random(seed)
    return [
        start * (0.1 + 0.9 * math.exp(-place / 12)) * math.exp(rng.gauss(0, noise)) for place in range(count)
    ]


@pytest.mark.parametrize(
    ("sample", "codes"),
    [
        ("trainer_state.json", ["non_finite"]),
        ("metrics.csv", []),
        ("training.csv", ["overfitting"]),
    ],
)
def test_kept_logs_of_real_runs(sample: str, codes: list[str]) -> None:
    assert diagnosis(SAMPLES / sample)[0] == codes


def test_a_rate_that_jumped_in_a_kept_export() -> None:
    codes, _ = diagnosis(SAMPLES / "history.jsonl")
    assert set(codes) & {"learning_rate_too_high", "divergence", "loss_spike"}


@pytest.mark.parametrize("count", [8, 12, 20, 40, 90])
@pytest.mark.parametrize(
    "shape",
    [
        lambda losses: losses,
        lambda losses: [loss * 3 if place == len(losses) // 2 else loss for place, loss in enumerate(losses)],
        lambda losses: [0.69 + (loss - 1) * 0.02 for loss in losses],
    ],
    ids=["falling", "one high entry that heals", "hardly learning"],
)
def test_sound_curves_of_any_length_raise_no_alarm(
    tmp_path: Path, shape: Callable[[list[float]], list[float]], count: int
) -> None:
    for seed in range(5):
        assert diagnosis(table(tmp_path, shape(falling(seed, count))))[0] == []


@pytest.mark.parametrize("count", [18, 24, 40])
def test_few_entries_are_enough_to_see_a_loss_that_left_its_best(tmp_path: Path, count: int) -> None:
    for seed in range(5):
        losses = falling(seed, count)
        third = count // 3
        losses[-third:] = [2.3 + random.Random(seed).gauss(0, 0.05) for _ in range(third)]
        codes, records = diagnosis(table(tmp_path, losses))
        assert "divergence" in codes
        finding = next(r for r in records if isinstance(r, Finding) and r.code == "divergence")
        assert abs(finding.evidence["onset"] - 10 * (count - third + 1)) <= 10
        assert finding.evidence["curve"]


def test_one_entry_far_above_both_its_sides(tmp_path: Path) -> None:
    losses = falling(0, 30)
    losses[9] = 40.0
    codes, records = diagnosis(table(tmp_path, losses))
    assert codes == ["loss_spike"]
    assert "The loss logged at step 100 was 40" in as_text(told(records))


def test_guessing_is_known_only_where_the_classes_are(tmp_path: Path) -> None:
    rng = random.Random(0)
    flat = table(tmp_path, [math.log(4) + rng.gauss(0, 0.03) for _ in range(40)])
    assert diagnosis(flat)[0] == []
    assert "underfitting: could not be checked" in verdicts(diagnosis(flat)[1])
    assert diagnosis(flat, num_classes=4)[0] == ["underfitting"]


def test_a_gradient_that_overflows_while_training_goes_on_is_half_precision(tmp_path: Path) -> None:
    norms = ["inf", "inf", *["1.0"] * 28]
    rows = [f"{step},{2 / (step + 1)},{norm}" for step, norm in enumerate(norms, start=1)]
    (tmp_path / "log.csv").write_text("\n".join(["step,loss,grad_norm", *rows]) + "\n")
    codes, records = diagnosis(tmp_path)
    assert codes == []
    assert any("half precision" in r.text for r in records if isinstance(r, Note))


def test_what_a_log_does_not_hold_is_said_to_be_unchecked(tmp_path: Path) -> None:
    text = verdicts(diagnosis(table(tmp_path, falling(0, 60)))[1])
    for line in (
        "exploding gradient: could not be checked: the log has no gradient norm",
        "schedule too fast: could not be checked: the log has no learning rate",
        "overfitting: could not be checked: the log has no validation loss",
        "stall: could not be checked: the log does not tell how long an update took",
        "non finite: checked and fine",
    ):
        assert line in text
    inside = next(line for line in text.splitlines() if "can only be seen inside the run" in line)
    assert "frozen head" in inside
    assert "training in evaluation mode" in inside


def test_the_story_says_how_the_log_was_read_and_claims_no_health(tmp_path: Path) -> None:
    text = as_text(told(diagnosis(table(tmp_path, falling(0, 60)))[1]))
    assert text.splitlines()[0].startswith(f"{tmp_path.name}/log.csv ends at step 600;")
    assert "healthy" not in text
    assert "has not ended" not in text
    assert "How the log was read\n  - Read `step` as step, `loss` as loss.\n" in text

import math

import pytest

from tunewell.actions import (
    EvaluateNow,
    ExcludeRows,
    Rollback,
    SaveNow,
    ScaleLearningRate,
    SetLearningRate,
    SetMaxGradNorm,
    Stop,
)
from tunewell.records import Acted, Eval, Finding, Rewound, Step
from tunewell.runs.incidents import describe, incidents


def step(number, loss, skipped=False):
    return Step(
        step=number,
        cursor=number,
        epoch=0,
        stage=0,
        loss=loss,
        learning_rate=1e-4,
        gradient_norm=1.0,
        rows=32,
        tokens=9,
        seconds=0.1,
        skipped=skipped,
    )


def steps(first, last, loss):
    """Steps whose loss swings a little about `loss`."""
    return [step(n, loss + 0.02 * math.sin(n)) for n in range(first, last + 1)]


def finding(number, code, severity="warning", **more):
    return Finding(
        step=number, monitor=code, code=code, severity=severity, summary=f"{code}!", meaning="m", **more
    )


def acted(number, action, by="cautious", reason="", outcome="applied"):
    return Acted(step=number, action=action, by=by, reason=reason, outcome=outcome)


def evaluation(number, loss):
    return Eval(step=number, epoch=0, split="validation", loss=loss, metrics={}, rows=9, seconds=0.1)


ROLLBACK = Rollback(before=100, learning_rate_factor=0.5)


def test_no_findings_no_incidents():
    assert incidents([]) == ([], [])
    assert incidents([*steps(1, 50, 0.5), finding(50, "guess", "info")]) == ([], [])


def test_a_spike_that_leads_to_nan_is_one_incident_with_its_repair():
    log = steps(1, 99, 0.5)
    log += [step(100, 9.0), finding(100, "loss_spike", rows=[7], causes=["a row"], evidence={"loss": 9.0})]
    log += [
        step(101, math.nan, skipped=True),
        finding(101, "non_finite", "critical", causes=["the spike"], rows=[7, 8]),
    ]
    log += [acted(101, ROLLBACK), Rewound(step=101, to_step=90, commit=2, reason="rollback")]
    log += steps(91, 140, 0.49)
    (found,), others = incidents(log)
    assert others == []
    assert (found.code, found.codes, found.severity) == (
        "non_finite",
        ["loss_spike", "non_finite"],
        "critical",
    )
    assert (found.first_step, found.last_step, found.times) == (100, 101, 2)
    assert found.seen == ["loss_spike!", "non_finite!"]
    assert found.causes == ["the spike", "a row"]
    assert found.rows == [7, 8]
    assert found.evidence == {"loss": 9.0}
    assert [deed.by for deed in found.deeds] == ["cautious"]
    assert found.recovered is True
    assert found.loss_before == pytest.approx(0.5, abs=0.02)
    assert found.loss_after == pytest.approx(0.49, abs=0.02)
    assert found.aftermath.startswith("Training recovered: the loss was 0.4986 before")


def test_a_loss_that_stays_high_is_not_recovered():
    log = [
        *steps(1, 99, 0.5),
        *steps(100, 130, 2.0),
        finding(130, "divergence", "critical"),
        acted(130, ROLLBACK),
    ]
    log += steps(131, 180, 1.9)
    (found,), _ = incidents(log)
    assert found.recovered is False
    # The climb was seen late: what was usual lies before it.
    assert found.loss_before == pytest.approx(0.5, abs=0.03)


def test_an_end_too_soon_leaves_it_open():
    (found,), _ = incidents([*steps(1, 99, 0.5), finding(99, "loss_spike"), *steps(100, 103, 0.5)])
    assert found.recovered is None
    assert "Too few steps" in found.aftermath


def test_a_fault_at_the_first_step_has_nothing_before_it():
    (found,), _ = incidents(
        [step(1, math.nan, skipped=True), finding(1, "non_finite", "critical"), *steps(2, 30, 1)]
    )
    assert (found.loss_before, found.recovered) == (None, None)
    assert "Nothing sound" in found.aftermath


def test_spikes_far_apart_are_two_incidents_and_each_has_its_own_aftermath():
    log = [*steps(1, 99, 0.5), finding(99, "loss_spike"), *steps(100, 199, 0.5), finding(199, "loss_spike")]
    log += steps(200, 260, 3.0)
    first, second = incidents(log)[0]
    assert (first.recovered, second.recovered) == (True, False)


def test_a_slow_fault_told_again_much_later_is_the_same_incident():
    log = [
        finding(10, "plateau"),
        *steps(11, 400, 0.5),
        finding(400, "plateau", "critical"),
        finding(400, "overfitting"),
    ]
    found, _ = incidents(log)
    assert [(each.code, each.times, each.severity) for each in found] == [
        ("plateau", 2, "critical"),
        ("overfitting", 1, "warning"),
    ]


def test_faults_of_generalisation_are_judged_by_evaluations():
    log = [
        evaluation(100, 0.5),
        evaluation(200, 0.4),
        finding(200, "plateau"),
        acted(200, ScaleLearningRate(0.1)),
    ]
    (open_end,), _ = incidents(log)
    assert (open_end.recovered, open_end.aftermath) == (None, "No evaluation followed.")
    (better,), _ = incidents([*log, evaluation(300, 0.45), evaluation(400, 0.35)])
    assert (better.loss_before, better.loss_after, better.recovered) == (0.4, 0.35, True)
    (worse,), _ = incidents([*log, evaluation(300, 0.45)])
    assert worse.recovered is False
    assert "did not come below" in worse.aftermath


def test_other_faults_claim_nothing_about_the_loss():
    (found,), _ = incidents([*steps(1, 30, 0.5), finding(30, "stall"), *steps(31, 60, 0.5)])
    assert (found.loss_before, found.recovered, found.aftermath) == (None, None, "")


def test_an_action_answers_the_incident_that_its_reason_names():
    log = [finding(10, "stall"), finding(10, "plateau"), acted(10, EvaluateNow(), reason="a stall was seen")]
    stall, plateau = incidents(log)[0]
    assert len(stall.deeds) == 1
    assert plateau.deeds == []


def test_actions_of_the_recipe_or_long_after_answer_no_incident():
    log = [
        finding(1, "loss_spike"),
        acted(1, SaveNow(), by="recipe"),
        *steps(2, 90, 0.5),
        acted(90, Stop(), by="anna"),
    ]
    (found,), others = incidents(log)
    assert found.deeds == []
    assert [deed.by for deed in others] == ["recipe", "anna"]


def test_early_stopping_by_the_recipe_answers_overfitting():
    (found,), others = incidents([finding(5, "overfitting"), acted(5, Stop(), by="recipe")])
    assert [deed.what for deed in found.deeds] == ["stopped early: nothing more to gain"]
    assert others == []


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (ScaleLearningRate(0.5), "multiplied the learning rate by 0.5"),
        (SetLearningRate(2e-5), "set the learning rate to 2e-05"),
        (SetMaxGradNorm(0.5), "clipped gradients at norm 0.5 from then on"),
        (Rollback(1310), "rolled back to the last healthy checkpoint before step 1,310"),
        (ROLLBACK, "… before step 100 and multiplied the learning rate by 0.5"),
        (ExcludeRows([4]), "excluded 1 row from training"),
        (ExcludeRows([4, 5]), "excluded 2 rows from training"),
        (EvaluateNow(), "evaluated"),
        (SaveNow(), "saved a checkpoint"),
        (Stop(), "stopped early: nothing more to gain"),
        (Stop(success=False), "gave the run up"),
    ],
)
def test_every_action_has_words(action, words):
    assert describe(action).endswith(words.removeprefix("… "))

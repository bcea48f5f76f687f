import math

import pytest

from tunewell.actions import EvaluateNow, ExcludeRows, Rollback, SaveNow, ScaleLearningRate, Stop
from tunewell.records import Acted, Answered, Effect, Eval, Finding, Proposed, Rewound, Step
from tunewell.runs.incidents import BlamedRow, incidents


def step(number, loss, skipped=False, **more):
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
        **more,
    )


def steps(first, last, loss):
    """Steps whose loss swings a little about `loss`."""
    return [step(n, loss + 0.02 * math.sin(n)) for n in range(first, last + 1)]


def finding(number, code, severity="warning", incident="", cause="", **more):
    if incident:
        more["evidence"] = {**more.get("evidence", {}), "incident": incident, "cause": cause or code}
    return Finding(
        step=number,
        monitor=code,
        code=code,
        severity=severity,
        summary=f"{code}!",
        meaning=f"{code}?",
        **more,
    )


def acted(number, action, code="", by="cautious", reason="", outcome="applied", **more):
    return Acted(step=number, action=action, by=by, reason=reason, outcome=outcome, code=code, **more)


def evaluation(number, loss):
    return Eval(step=number, epoch=0, split="validation", loss=loss, metrics={}, rows=9, seconds=0.1)


ROLLBACK = Rollback(before=100, learning_rate_factor=0.5)


def test_no_findings_no_incidents():
    assert incidents([]) == ([], [])
    assert incidents([*steps(1, 50, 0.5), finding(50, "guess", "info")]) == ([], [])


def test_a_cause_and_its_symptoms_are_one_incident_told_cause_first():
    name = "loss_spike@100"
    log = steps(1, 99, 0.5)
    log += [
        step(100, 9.0),
        finding(100, "loss_spike", incident=name, rows=[7], causes=["a row"], evidence={"loss": 9.0}),
    ]
    log += [
        step(101, math.nan, skipped=True),
        finding(
            101, "non_finite", "critical", name, "learning_rate_too_high", causes=["the spike"], rows=[7, 8]
        ),
        finding(
            101, "learning_rate_too_high", "critical", name, causes=["the rate"], evidence={"rate_jump": 9.0}
        ),
    ]
    log += [
        acted(101, ROLLBACK, "learning_rate_too_high"),
        Rewound(step=101, to_step=90, commit=2, reason="rollback"),
    ]
    log += steps(91, 140, 0.49)
    (found,), others = incidents(log)
    assert others == []
    assert found.code == "learning_rate_too_high"
    assert found.codes == ["learning_rate_too_high", "loss_spike", "non_finite"]
    assert found.severity == "critical"
    assert (found.first_step, found.last_step, found.times) == (100, 101, 3)
    assert found.seen == ["learning_rate_too_high!", "loss_spike!", "non_finite!"]
    assert found.meaning == "learning_rate_too_high?"
    assert found.causes == ["the rate"]  # those of its consequences would mislead
    assert found.rows == [7, 8]
    assert found.evidence == {"rate_jump": 9.0}
    assert [deed.by for deed in found.deeds] == ["cautious"]
    assert found.recovered is True
    assert found.loss_before == pytest.approx(0.5, abs=0.02)
    assert found.loss_after == pytest.approx(0.49, abs=0.02)
    assert found.aftermath.startswith("Training recovered: the loss was 0.4986 before")


def test_a_cause_ties_together_what_had_seemed_to_be_two_faults():
    log = [
        finding(10, "loss_spike", incident="loss_spike@10"),
        finding(12, "dead_units", incident="dead_units@12"),
        acted(12, ROLLBACK, "dead_units"),
        finding(14, "learning_rate_too_high", incident="loss_spike@10", evidence={"tied": ["dead_units@12"]}),
    ]
    (found,), _ = incidents(log)
    assert found.codes == ["learning_rate_too_high", "loss_spike", "dead_units"]
    assert len(found.deeds) == 1


def test_what_a_measured_effect_says_counts_more_than_the_loss():
    log = [
        *steps(1, 99, 0.5),
        finding(99, "gradients_not_cleared"),
        acted(99, EvaluateNow(), "gradients_not_cleared", by="autopilot", remedy="clear_gradients"),
        Effect(
            step=120,
            acted_step=99,
            action=EvaluateNow(),
            code="gradients_not_cleared",
            helped=True,
            measure="stale gradient norm",
            before=4.0,
            after=0.0,
            text="Stale gradient norm: 4 before, 0 now: it helped.",
            remedy="clear_gradients",
        ),
        *steps(100, 140, 3.0),
    ]
    (found,), _ = incidents(log)
    assert (found.recovered, found.loss_before, found.loss_after) == (True, 4.0, 0.0)
    assert found.aftermath == "Stale gradient norm: 4 before, 0 now: it helped."
    assert [(deed.helped, deed.effect) for deed in found.deeds] == [(True, found.aftermath)]


def test_questions_and_answers_are_deeds():
    asked = Proposed(
        step=99, id=1, action=ROLLBACK, also=[SaveNow()], by="autopilot", reason="r", code="loss_spike"
    )
    log = [finding(99, "loss_spike"), asked, Answered(step=100, id=1, approved=False, by="anna")]
    (found,), _ = incidents(log)
    first, second = found.deeds
    assert first.what.startswith("asked whether to roll back to the last healthy checkpoint before step 100")
    assert first.what.endswith("and to save a checkpoint")
    assert (second.what[:16], second.by, second.outcome) == ("declined to roll", "anna", "declined")


def test_a_blamed_row_is_told_with_its_share_of_the_loss():
    log = [
        *steps(1, 99, 0.5),
        step(100, 2.0, worst_rows=[(7, 62.0), (9, 1.0)]),
        step(101, math.inf, skipped=True, worst_rows=[(8, math.inf)]),
        finding(101, "loss_spike", rows=[7, 8, 11]),
        step(102, 2.0, worst_rows=[(7, 64.0)]),
    ]
    (found,), _ = incidents(log)
    assert found.blamed == [
        BlamedRow(row=7, step=100, loss=62.0, share=62 / 64),
        BlamedRow(row=8, step=101, loss=math.inf, share=None),
        BlamedRow(row=11),
    ]


def test_a_loss_that_stays_high_is_not_recovered():
    log = [
        *steps(1, 99, 0.5),
        *steps(100, 130, 2.0),
        finding(130, "divergence", "critical"),
        acted(130, ROLLBACK, "divergence"),
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


def test_a_fault_that_comes_again_is_another_incident():
    log = [finding(10, "plateau"), *steps(11, 400, 0.5), finding(400, "plateau"), finding(400, "stall")]
    assert [each.code for each in incidents(log)[0]] == ["plateau", "plateau", "stall"]


def test_faults_of_generalisation_are_judged_by_evaluations():
    log = [
        evaluation(100, 0.5),
        evaluation(200, 0.4),
        finding(200, "plateau"),
        acted(200, ScaleLearningRate(0.1), "plateau"),
    ]
    (open_end,), _ = incidents(log)
    assert (open_end.recovered, open_end.aftermath) == (None, "No evaluation followed.")
    (better,), _ = incidents([*log, evaluation(300, 0.45), evaluation(400, 0.35)])
    assert (better.loss_before, better.loss_after, better.recovered) == (0.4, 0.35, True)
    (worse,), _ = incidents([*log, evaluation(300, 0.45)])
    assert worse.recovered is False
    assert "did not come below" in worse.aftermath


def test_a_run_that_learns_nothing_has_recovered_only_once_its_loss_falls():
    sick = [*steps(1, 50, 0.69), finding(50, "underfitting")]
    (still,), _ = incidents([*sick, *steps(51, 120, 0.69)])
    assert still.recovered is False
    (well,), _ = incidents([*sick, *steps(51, 120, 0.4)])
    assert well.recovered is True


def test_wrong_rows_do_not_recover_by_themselves():
    noise = finding(50, "label_noise")
    log = [*steps(1, 50, 0.7), evaluation(10, 0.7), noise, *steps(51, 90, 0.3), evaluation(60, 0.3)]
    (found,), _ = incidents(log)
    assert found.recovered is None
    assert found.aftermath == "Nothing that was measured says that it is gone."
    excluded = acted(51, ExcludeRows([1]), code="label_noise")
    helped = Effect(
        step=90, acted_step=51, action=ExcludeRows([1]), code="label_noise", helped=True,
        measure="validation loss", before=0.7, after=0.3, text="It helped.",
    )  # fmt: skip
    (found,), _ = incidents([*log[:52], excluded, *log[52:], helped])
    assert (found.recovered, found.aftermath) == (True, "It helped.")


def test_other_faults_claim_nothing_about_the_loss():
    (found,), _ = incidents([*steps(1, 30, 0.5), finding(30, "stall"), *steps(31, 60, 0.5)])
    assert (found.loss_before, found.recovered, found.aftermath) == (None, None, "")


def test_an_action_answers_the_newest_incident_of_its_kind():
    log = [finding(10, "stall"), finding(10, "plateau"), acted(10, EvaluateNow(), "stall")]
    stall, plateau = incidents(log)[0]
    assert len(stall.deeds) == 1
    assert plateau.deeds == []


def test_actions_of_no_kind_answer_no_incident():
    log = [
        finding(1, "loss_spike"),
        acted(1, SaveNow(), by="recipe"),
        acted(90, Stop(), "overtraining", by="recipe"),
    ]
    (found,), others = incidents(log)
    assert found.deeds == []
    assert [deed.what for deed in others] == ["saved a checkpoint", "ended training"]


def test_what_was_not_done_is_told_as_a_wish():
    log = [finding(1, "loss_spike"), acted(1, ROLLBACK, "loss_spike", outcome="dry_run")]
    (found,), _ = incidents(log)
    assert found.deeds[0].what.startswith("wanted to roll back to the last healthy checkpoint")

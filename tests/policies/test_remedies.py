"""Which action each kind of fault leads to, and when there is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tunewell import actions as does
from tunewell.plugins import names
from tunewell.policies import Facts
from tunewell.policies._ladders import LADDERS, REMEDIES, is_due, next_remedy
from tunewell.policies.autopilot import Autopilot
from tunewell.records import Finding


def finding(code: str, step: int = 300, severity: Any = "critical", **fields: Any) -> Finding:
    return Finding(
        step=step, monitor=code, code=code, severity=severity, summary="It was.", meaning="It is.", **fields
    )


def facts(step: int = 300, **fields: Any) -> Facts:
    known = {"step": step, "last_step": 1000, "learning_rate": 1e-4, "healthy_commits": (0, 200)}
    return Facts(**(known | fields))


def first(code: str, known: Facts | None = None, **fields: Any) -> list[Any]:
    """Return the actions of the first remedy that can be had."""
    found = next_remedy(finding(code, **fields), known or facts())
    return list(found[1]) if found else []


EARLY = {"onset": 1}
LAYERS = {"layers": ["head"], "onset": 1}
ROWS = [4, 7]


@pytest.mark.parametrize(
    ("code", "evidence", "expected"),
    [
        ("learning_rate_too_high", {"onset": 1, "update_ratio": 0.04}, [does.Rollback(1, 0.25)]),
        ("learning_rate_too_high", {"onset": 280, "rate_jump": 100.0}, [does.Rollback(280, 0.01)]),
        ("learning_rate_too_low", {"onset": 1, "update_ratio": 1e-4}, [does.Rollback(1, 100.0)]),
        ("learning_rate_too_low", {"onset": 1, "update_ratio": 1e-9}, [does.Rollback(1, 1000.0)]),
        ("no_warmup", EARLY, [does.Rollback(1), does.Rewarm(100)]),
        ("schedule_too_fast", {"onset": 1, "ticks": 4}, [does.StretchSchedule(4.0)]),
        ("loss_spike", {"onset": 250}, [does.Rollback(250)]),
        ("divergence", {"onset": 250}, [does.Rollback(250, 0.5)]),
        ("divergence", {"onset": 0, "never_learned": True}, [does.Rollback(1, 0.1)]),
        ("non_finite", {"onset": 290}, [does.Rollback(290)]),
        ("epsilon_too_large", EARLY, [does.SetEpsilon(1e-8), does.Rollback(1)]),
        ("vanishing_gradient", EARLY, [does.SetEpsilon(1e-15), does.Rollback(1)]),
        ("gradient_underflow", EARLY, [does.ScaleLoss(65536.0), does.Rollback(1)]),
        ("parameters_not_updating", {"parameters": ["head.weight"], "onset": 280}, [does.Optimize(["head.weight"])]),
        ("frozen_head", {"layers": ["head"], "onset": 290}, [does.Unfreeze(["head"])]),
        ("gradients_not_cleared", EARLY, [does.ClearGradients(), does.Rollback(1)]),
        ("training_in_evaluation_mode", {"onset": 290}, [does.SetMode()]),
        ("evaluation_in_training_mode", {"onset": 290}, [does.SetMode()]),
        ("double_softmax", EARLY, [does.TakeLogarithm(), does.Rollback(1)]),
        ("dead_units", LAYERS, [does.Rollback(1), does.Reinitialize(["head"])]),
        ("bad_initialization", LAYERS, [does.Rollback(1), does.Reinitialize(["head"])]),
        ("accumulation_not_divided", EARLY, [does.DivideGradients(0.0), does.Rollback(1)]),
        ("class_imbalance", {"onset": 290}, [does.BalanceClasses()]),
        ("sorted_data", {"onset": 290}, [does.ShuffleRows()]),
        ("inputs_not_normalized", {"mean": 100.0, "std": 60.0, **EARLY}, [does.Rollback(1), does.NormalizeInputs(100.0, 60.0)]),
        ("overfitting", {"onset": 200}, [does.Stop(success=True)]),
        ("forgetting", {"onset": 250}, [does.Rollback(250, 0.5)]),
        ("plateau", {}, [does.ScaleLearningRate(0.2)]),
    ],
)  # fmt: skip
def test_the_first_remedy_of_each_fault(code: str, evidence: dict[str, Any], expected: list[Any]) -> None:
    assert first(code, evidence=evidence) == expected


@pytest.mark.parametrize("code", ["label_noise", "leakage", "conflicting_labels", "non_finite"])
def test_bad_rows_are_left_out(code: str) -> None:
    assert first(code, rows=ROWS) == [does.ExcludeRows(ROWS)]
    assert not isinstance(next(iter(first(code)), None), does.ExcludeRows)


def test_copies_stay_and_cut_rows_go_only_where_they_are_few() -> None:
    assert first("duplicates", rows=ROWS) == []
    few = {"truncated": 2, "of": 100}
    assert first("truncated_targets", rows=ROWS, evidence=few) == [does.ExcludeRows(ROWS)]
    assert first("truncated_targets", rows=ROWS, evidence={"truncated": 40, "of": 100}) == []


def test_what_evaluated_best_is_gone_back_to_and_kept() -> None:
    known = facts(best_step=210, learning_rate=1e-3)
    assert first("overfitting", known, evidence={"onset": 200}) == [
        does.Rollback(211, keeps_best=True, weight_decay=pytest.approx(1.43))
    ]
    again = msgspec.structs.replace(known, keeps_best=True)
    assert first("overfitting", again, evidence={"onset": 200}) == [
        does.Rollback(211, keeps_best=True), does.Stop(success=True),
    ]  # fmt: skip
    unlike = msgspec.structs.replace(known, balances=True)
    assert first("overfitting", unlike, evidence={"onset": 200}) == [], (
        "rare classes hardly count in the score"
    )
    slowly = first("forgetting", known, evidence={"onset": 266})
    assert slowly == [does.Rollback(266, learning_rate_factor=0.05, keeps_best=True)], (
        "35 did it, 700 are left"
    )
    assert first("forgetting", again, evidence={"onset": 266}) == [], "it is under way"


def test_layers_without_a_gradient_get_one_as_large_as_the_others() -> None:
    known = facts(
        step=21,
        actions=frozenset({"scale_loss", "rollback"}),
        layer_norms=((21, {"first": 1e-6, "second": 2.0, "head": 4.0}),),
    )
    found = first("vanishing_gradient", known, evidence={"layers": ["first"], "onset": 1})
    assert found == [does.ScaleLoss(3e6, ["first"]), does.Rollback(1)]
    as_small = msgspec.structs.replace(known, layer_norms=((21, {"first": 1e-2, "second": 2.0}),))
    assert first("vanishing_gradient", as_small, evidence={"layers": ["first"], "onset": 1})[0] == (
        does.ScaleLoss(65536.0)
    )


def test_sgds_updates_tell_of_gradients_as_well_as_of_the_rate() -> None:
    plain = facts(actions=frozenset({"rollback"}))
    evidence = {"onset": 1, "update_ratio": 0.1}
    assert first("learning_rate_too_high", plain, evidence=evidence) == [does.Rollback(1, 0.01)]


def test_elsewhere_going_back_to_the_start_is_worth_it_while_little_is_lost() -> None:
    early = facts(step=2, rollback_gives_back=False)
    assert first("double_softmax", early, evidence=EARLY) == [does.TakeLogarithm(), does.Rollback(1)]
    assert first("sorted_data", early, evidence=EARLY) == [does.Rollback(1), does.ShuffleRows()]
    low = {"onset": 1, "update_ratio": 1e-4}
    unmoved = first("learning_rate_too_low", facts(rollback_gives_back=False), evidence=low)
    assert unmoved == [does.Rollback(1, 100.0)], "nothing was learned that could be lost"


def test_what_was_usual_before_the_trouble_bounds_gradients() -> None:
    known = facts(
        norms=tuple((step, 1.0 if step < 290 else 50.0) for step in range(200, 300)),
        layer_norms=((240, {"embeddings": 0.5, "head": 2.0}), (280, {"embeddings": 0.7, "head": 2.0}), (298, {"head": 90.0})),
    )  # fmt: skip
    evidence = {"onset": 290}
    clipped = first("exploding_gradient", known, evidence=evidence)
    assert clipped == [does.ClipLayers({"embeddings": 1.2, "head": 4.0})]
    assert first("gradient_spike", known, evidence=evidence) == [does.SetMaxGradNorm(1.0)]
    assert first("gradient_spike", facts(max_grad_norm=0.5, norms=known.norms), evidence=evidence) == [
        does.ScaleLearningRate(0.5)
    ]


def test_a_rate_that_left_its_schedule_is_brought_back_exactly() -> None:
    """Neither a rollback alone nor a clip would help: the rate stays what it is."""
    rates = tuple((step, 1e-4 if step < 280 else 4e-3) for step in range(200, 300))
    known = facts(rates=rates, norms=tuple((step, 1.0) for step in range(200, 300)))
    for code in ("loss_spike", "divergence", "exploding_gradient"):
        assert first(code, known, evidence={"onset": 282}) == [does.Rollback(282, pytest.approx(0.025))]


def test_what_one_batch_brought_about_does_not_cost_the_rate() -> None:
    evidence = {"onset": 250, "cause": "loss_spike"}
    assert first("divergence", evidence=evidence) == [does.Rollback(250)]
    again = facts(failed={"divergence": ("rollback_and_lower_rate",)})
    assert first("divergence", again, evidence=evidence) == [does.Rollback(250, 0.05)]


def test_without_a_commit_the_least_is_done() -> None:
    empty = facts(healthy_commits=())
    assert first("divergence", empty, evidence={"onset": 250}) == [does.ScaleLearningRate(0.5)]
    assert first("gradients_not_cleared", empty, evidence=EARLY) == [does.ClearGradients()]
    assert first("no_warmup", empty, evidence=EARLY) == [does.Rewarm(100)]


def test_where_a_rollback_costs_updates_only_harmed_weights_are_worth_one() -> None:
    elsewhere = facts(rollback_gives_back=False)
    assert first("double_softmax", elsewhere, evidence=EARLY) == [does.TakeLogarithm()]
    harmed = first("gradients_not_cleared", elsewhere, evidence=EARLY)
    assert harmed == [does.ClearGradients(), does.Rollback(1)]
    assert first("overfitting", elsewhere, evidence={"best": {"step": 200, "score": 0.9}}) == [
        does.Rollback(201), does.Stop(success=True),
    ]  # fmt: skip
    far = first("overfitting", elsewhere, evidence={"best": {"step": 290}})
    assert far == [does.Stop(success=True)], "what would be gone back to is nowhere near the best"


def test_what_a_loop_can_not_do_is_not_proposed() -> None:
    known = facts(actions=frozenset({"rollback", "scale_learning_rate"}))
    assert first("gradients_not_cleared", known, evidence=EARLY) == []
    assert first("divergence", known, evidence={"onset": 250}) == [does.Rollback(250, 0.5)]


def test_a_remedy_that_failed_makes_way_for_the_next() -> None:
    spike = {"onset": 250}
    known = facts(failed={"loss_spike": ("rollback",)})
    assert first("loss_spike", known, evidence=spike) == [does.Rollback(250, 0.5)]
    known = facts(failed={"loss_spike": ("rollback", "rollback_and_lower_rate")})
    assert first("loss_spike", known, evidence=spike) == [does.Rollback(250, 0.05)]
    known = facts(failed={"loss_spike": LADDERS["loss_spike"][:-1]})
    assert first("loss_spike", known, evidence=spike) == [does.Stop(success=False)]
    assert first("loss_spike", facts(failed={"loss_spike": LADDERS["loss_spike"]}), evidence=spike) == []


@pytest.mark.parametrize("code", ["shifted_labels", "inputs_unrelated", "stall", "rank_divergence"])
def test_what_a_person_has_to_mend_has_no_remedy(code: str) -> None:
    assert first(code, rows=ROWS) == []


@pytest.mark.parametrize(
    ("sick", "due"),
    [
        (finding("loss_spike", severity="warning", evidence={"sustained": False}), False),
        (finding("loss_spike", severity="warning", evidence={"sustained": True}), True),
        (finding("non_finite", severity="warning"), False),
        (finding("non_finite", severity="warning", rows=[3]), True),
        (finding("non_finite", severity="warning", rows=[3], evidence={"applied": True}), False),
        (finding("plateau", severity="info"), False),
        (finding("leakage", severity="warning"), True),
    ],
    ids=lambda one: getattr(one, "code", one),
)
def test_harm_is_what_calls_for_a_remedy(sick: Finding, due: bool) -> None:
    assert is_due(sick) is due


def test_every_remedy_is_a_function_of_finding_and_facts_for_any_finding() -> None:
    for code in {*names("monitors"), *LADDERS}:
        for remedy in REMEDIES.values():
            for known in (facts(), facts(0, healthy_commits=())):
                assert isinstance(remedy(finding(code, step=known.step), known), tuple)


def decided(findings: list[Finding], known: Facts | None = None) -> list[tuple[str, Any]]:
    policy = Autopilot()
    _, proposals = policy.decide(policy.init(), findings, known or facts())
    return [(one.remedy, one.action) for one in proposals]


def test_the_cause_is_mended_and_not_its_symptoms() -> None:
    story = {"incident": "loss_spike@290", "cause": "learning_rate_too_high"}
    symptom = finding("divergence", evidence={"onset": 280, **story})
    cause = finding("learning_rate_too_high", evidence={"onset": 280, "rate_jump": 50.0, **story})
    expected = [("rollback_and_lower_rate", does.Rollback(280, 0.02))]
    assert decided([symptom, cause]) == expected
    assert decided([symptom], facts(in_treatment=frozenset({"learning_rate_too_high"}))) == []


def test_two_faults_at_once_go_back_once() -> None:
    sick = [
        finding("gradients_not_cleared", evidence=EARLY),
        finding("learning_rate_too_high", evidence={"onset": 1}),
    ]
    assert [action for _, action in decided(sick)] == [
        does.ClearGradients(), does.Rollback(1), does.ScaleLearningRate(0.5),
    ]  # fmt: skip


def test_autopilot_has_budgets() -> None:
    policy = Autopilot(per_kind=2, total_budget=3)
    state = policy.init()
    taken = 0
    for _ in range(9):
        state, proposals = policy.decide(state, [finding("divergence", evidence={"onset": 250})], facts())
        taken += len(proposals)
    assert taken == 2
    for _ in range(9):
        state, proposals = policy.decide(state, [finding("label_noise", rows=ROWS)], facts())
        taken += len(proposals)
    assert taken == 3

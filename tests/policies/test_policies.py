from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tunewell.actions import ExcludeRows, Rollback, ScaleLearningRate, Stop
from tunewell.plugins import load, names
from tunewell.policies import Facts, Judge, Policy, Proposal
from tunewell.policies.cautious import Cautious
from tunewell.policies.observe import Observe
from tunewell.problems import RecipeError
from tunewell.recipe import Recipe
from tunewell.records import Finding


def finding(code: str, step: int = 300, severity: Any = "critical", **fields: Any) -> Finding:
    return Finding(
        step=step, monitor=code, code=code, severity=severity, summary="It was.", meaning="It is.", **fields
    )


def facts(step: int = 300, **fields: Any) -> Facts:
    return Facts(
        **({"step": step, "last_step": 900, "learning_rate": 1e-4, "healthy_commits": (0, 200)} | fields)
    )


def actions(policy: Policy, findings: list[Finding], known: Facts | None = None) -> list[Any]:
    _, proposals = policy.decide(policy.init(), findings, known or facts())
    return [proposal.action for proposal in proposals]


ALL_TROUBLE = [
    finding("divergence", evidence={"onset": 280}),
    finding("loss_spike", severity="warning", evidence={"onset": 290, "sustained": True}),
    finding("exploding_gradient", evidence={"onset": 295}),
    finding("learning_rate_too_high", evidence={"onset": 285}),
    finding("non_finite", evidence={"onset": 299}),
]


@pytest.mark.parametrize("name", names("policies"))
def test_what_the_recipe_asks_for_is_done_under_every_policy(name: str) -> None:
    policy = load("policies", name)()
    over = finding("overtraining", severity="info")
    flat = finding("plateau", severity="info")
    assert actions(policy, [over]) == []
    assert actions(policy, [over], facts(early_stopping=True)) == [Stop(success=True)]
    assert actions(policy, [flat]) == []
    (scaled,) = actions(policy, [flat], facts(lr_scheduler="plateau"))
    assert isinstance(scaled, ScaleLearningRate)
    assert 0.1 <= scaled.factor <= 0.5
    _, (proposal,) = policy.decide(policy.init(), [over], facts(early_stopping=True))
    assert (proposal.by, proposal.finding_code) == ("recipe", "overtraining")


@pytest.mark.parametrize("name", names("policies"))
def test_deciding_is_pure_and_its_state_json(name: str) -> None:
    policy = load("policies", name)()
    state = policy.init()
    for _ in range(6):
        before = copy.deepcopy(state)
        after, proposals = policy.decide(state, ALL_TROUBLE, facts())
        assert state == before
        again, same = policy.decide(json.loads(json.dumps(state, allow_nan=False)), ALL_TROUBLE, facts())
        assert json.dumps(again) == json.dumps(after)
        assert same == proposals
        state = after


def test_observe_only_reports() -> None:
    assert actions(Observe(), ALL_TROUBLE) == []


@pytest.mark.parametrize("trouble", ALL_TROUBLE, ids=lambda one: one.code)
def test_cautious_goes_back_to_before_the_trouble_at_half_the_rate(trouble: Finding) -> None:
    assert actions(Cautious(), [trouble]) == [
        Rollback(before=trouble.evidence["onset"], learning_rate_factor=0.5)
    ]


def test_several_findings_of_one_record_make_one_rollback_to_the_earliest() -> None:
    assert actions(Cautious(), ALL_TROUBLE) == [Rollback(before=280, learning_rate_factor=0.5)]


@pytest.mark.parametrize(
    "harmless",
    [
        finding("non_finite", severity="warning", rows=[13]),
        finding("loss_spike", severity="warning", evidence={"sustained": False}),
        finding("loss_spike", severity="info", evidence={"sustained": False}),
        finding("exploding_gradient", severity="warning"),
        finding("overfitting", severity="warning"),
        finding("underfitting", severity="warning"),
        finding("vanishing_gradient", severity="warning"),
        finding("stall", severity="warning"),
    ],
    ids=lambda one: f"{one.code}-{one.severity}",
)
def test_cautious_leaves_the_rest_alone(harmless: Finding) -> None:
    assert actions(Cautious(), [harmless]) == []


@pytest.mark.parametrize(
    ("evidence", "factor"), [({"never_learned": True}, 0.1), ({"rate_jump": 100.0}, 0.01)]
)
def test_a_rate_far_too_high_is_cut_to_a_tenth_and_one_that_leapt_to_what_it_was(
    evidence: dict[str, Any], factor: float
) -> None:
    trouble = finding("learning_rate_too_high", step=40, evidence={"onset": 1, **evidence})
    assert actions(Cautious(), [trouble], facts(40, healthy_commits=(0,))) == [
        Rollback(before=1, learning_rate_factor=factor)
    ]


def test_without_a_commit_to_go_back_to_the_rate_alone_is_lowered() -> None:
    trouble = finding("divergence", evidence={"onset": 150})
    assert actions(Cautious(), [trouble], facts(healthy_commits=(200,))) == [ScaleLearningRate(0.5)]


def test_the_budget_ends_in_giving_up() -> None:
    policy = Cautious()
    state, taken = policy.init(), []
    for _ in range(5):
        state, proposals = policy.decide(state, [finding("divergence", evidence={"onset": 280})], facts())
        taken += [proposal.action for proposal in proposals]
    assert [type(action) for action in taken] == [Rollback, Rollback, Rollback, Stop, Stop]
    assert taken[-1] == Stop(success=False)


def test_getting_well_past_the_trouble_renews_the_budget_until_the_total_is_spent() -> None:
    policy = Cautious(total_budget=5)
    state, taken = policy.init(), []
    for trouble_at in range(300, 2400, 300):
        trouble = finding("divergence", step=trouble_at, evidence={"onset": trouble_at - 10})
        state, proposals = policy.decide(state, [trouble], facts(trouble_at))
        taken += [type(proposal.action) for proposal in proposals]
    assert taken == [Rollback] * 5 + [Stop] * 2


def bad_rows(rows: list[int], severity: str = "warning", explained: bool = True) -> Finding:
    return finding(
        "non_finite", severity=severity, rows=rows, evidence={"onset": 300, "rows_explain_all": explained}
    )


def test_a_row_blamed_twice_is_excluded_once() -> None:
    policy = Cautious()
    state, proposals = policy.decide(policy.init(), [bad_rows([13])], facts())
    assert proposals == []
    state, proposals = policy.decide(state, [bad_rows([13, 40])], facts(600))
    assert [one.action for one in proposals] == [ExcludeRows([13])]
    state, proposals = policy.decide(state, [bad_rows([13])], facts(700))
    assert proposals == []


def test_rows_that_explain_repeats_are_excluded_and_the_weights_left_alone() -> None:
    assert actions(Cautious(), [bad_rows([13, 14, 15], "critical")]) == [ExcludeRows([13, 14, 15])]


def test_repeats_that_rows_do_not_explain_need_a_rollback() -> None:
    assert actions(Cautious(), [bad_rows([13], "critical", explained=False)]) == [
        Rollback(before=300, learning_rate_factor=0.5)
    ]


def test_judge_keeps_its_budget_through_a_resume() -> None:
    recipe = Recipe.model_validate({"data": {"train": "a.csv"}})
    trouble = finding("divergence", evidence={"onset": 280})
    judge = Judge.from_recipe(recipe)
    for _ in range(3):
        judge.follow(trouble, [trouble], facts)
    resumed = Judge.from_recipe(recipe)
    resumed.unpack(json.loads(json.dumps(judge.pack(), allow_nan=False)))
    (proposal,) = resumed.follow(trouble, [trouble], facts)
    assert isinstance(proposal, Proposal)
    assert proposal.action == Stop(success=False)


def test_an_unknown_policy_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean `cautious`"):
        Judge("cautius")


def test_trouble_from_the_very_first_update_goes_back_to_the_start() -> None:
    from_the_start = finding("learning_rate_too_high", step=32, evidence={"onset": 0, "never_learned": True})
    assert actions(Cautious(), [from_the_start], facts(32, healthy_commits=(0,))) == [
        Rollback(before=1, learning_rate_factor=0.1)
    ]


def test_nothing_learned_after_a_rollback_means_that_the_cut_was_not_enough() -> None:
    nothing_learned = finding("underfitting", step=83, severity="warning", evidence={"onset": 0})
    policy = Cautious()
    _, at_first = policy.decide(policy.init(), [nothing_learned], facts(83, healthy_commits=(0,)))
    assert at_first == []
    rescued, _ = policy.decide(
        policy.init(),
        [finding("divergence", step=32, evidence={"onset": 0})],
        facts(32, healthy_commits=(0,)),
    )
    _, proposals = policy.decide(rescued, [nothing_learned], facts(83, healthy_commits=(0,)))
    assert [p.action for p in proposals] == [Rollback(before=1, learning_rate_factor=0.1)]

"""A run's judge: effects that are measured, what did not help undone, questions to people, `on:`, budgets, dry runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from tunewell import actions as does
from tunewell.inspections import DataChecked, Inspected
from tunewell.policies import Facts, Judge, Proposal
from tunewell.problems import RecipeError
from tunewell.recipe import Recipe
from tunewell.records import (
    Acted,
    Answered,
    Effect,
    Eval,
    Finding,
    Note,
    Proposed,
    Record,
    Rewound,
    Step,
    encode,
)

UNDO: dict[type, Callable[[Any], Any]] = {
    does.ScaleLearningRate: lambda action: does.ScaleLearningRate(1 / action.factor),
    does.Rollback: lambda action: (
        does.ScaleLearningRate(1 / action.learning_rate_factor) if action.learning_rate_factor != 1 else None
    ),
    does.ExcludeRows: lambda action: does.IncludeRows(action.rows),
    does.SetMaxGradNorm: lambda action: does.SetMaxGradNorm(math.inf),
}


def finding(code: str, step: int, severity: Any = "critical", **fields: Any) -> Finding:
    return Finding(
        step=step, monitor=code, code=code, severity=severity, summary="It was.", meaning="It is.", **fields
    )


@dataclass
class Loop:
    """A run of which only the records are real: it carries out whatever the judge decides."""

    judge: Judge
    step: int = 0
    commits: tuple[int, ...] = (0,)
    refuses: tuple[type, ...] = ()
    log: list[Record] = field(default_factory=list)

    def record(self, record: Record, *findings: Finding) -> None:
        self.log += [record, *findings]
        for decision in self.judge.follow(record, findings, self.facts):
            if isinstance(decision, Proposal):
                self.carry_out(decision)
            else:
                self.record(decision)

    def carry_out(self, proposal: Proposal) -> None:
        action, left = proposal.action, self.step
        outcome: Any = "refused" if isinstance(action, self.refuses) else "applied"
        outcome = "dry_run" if self.judge.is_for_show(proposal) else outcome
        undo = UNDO.get(type(action), lambda _: None)(action) if outcome == "applied" else None
        goes_back = isinstance(action, does.Rollback) and outcome == "applied"
        if goes_back:
            self.step = max(commit for commit in self.commits if commit < action.before)  # type: ignore[union-attr]
        self.record(
            Acted(
                step=left, action=action, by=proposal.by, reason=proposal.reason, outcome=outcome,
                code=proposal.finding_code, remedy=proposal.remedy, undo=undo,
            )
        )  # fmt: skip
        if goes_back:
            self.record(Rewound(step=left, to_step=self.step, commit=0, reason="rollback"))

    def facts(self) -> Facts:
        commits = tuple(commit for commit in self.commits if commit <= self.step)
        return Facts(step=self.step, last_step=1000, learning_rate=1e-3, healthy_commits=commits)

    def train(self, losses: Iterable[float], found: Finding | None = None) -> None:
        """Make an update for each loss; `found` is found at the last."""
        losses = list(losses)
        for place, loss in enumerate(losses):
            self.step += 1
            step = Step(
                step=self.step, cursor=self.step, epoch=0, stage=0, loss=loss, learning_rate=1e-3, gradient_norm=1.0,
                rows=8, tokens=8, seconds=0.1, skipped=not math.isfinite(loss),
            )  # fmt: skip
            self.record(step, *([found] if found is not None and place == len(losses) - 1 else []))

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.log if isinstance(record, kind)]

    def done(self) -> list[Any]:
        return [record.action for record in self.of(Acted) if record.outcome == "applied"]


def around(level: float, count: int) -> list[float]:
    return [level * (1 + 0.05 * math.sin(7.3 * i)) for i in range(count)]


def spike(step: int, **fields: Any) -> Finding:
    return finding("loss_spike", step, evidence={"onset": 101, "sustained": True}, **fields)


def troubled(judge: Judge, commits: tuple[int, ...] = (0, 100)) -> Loop:
    """Return a loop whose loss jumped from 0.5 to 3 at step 101, found at step 110."""
    loop = Loop(judge, commits=commits)
    loop.train(around(0.5, 100))
    loop.train(around(3.0, 10), spike(110))
    return loop


def test_an_effect_tells_by_the_loss_that_a_rollback_helped() -> None:
    loop = troubled(Judge("autopilot"))
    assert loop.done() == [does.Rollback(101)]
    loop.train(around(0.5, 29))
    assert loop.of(Effect) == []
    loop.train(around(0.5, 1))
    [effect] = loop.of(Effect)
    assert (effect.helped, effect.code, effect.remedy, effect.acted_step) == (
        True,
        "loss_spike",
        "rollback",
        110,
    )
    assert effect.measure == "training loss"
    assert effect.before == pytest.approx(3.0, rel=0.1)
    assert effect.after == pytest.approx(0.5, rel=0.1)
    assert effect.text.startswith("The training loss went from 3")
    assert effect.text.endswith("it helped.")
    loop.train(around(0.5, 60))
    assert len(loop.of(Effect)) == 1


def test_what_did_not_help_is_undone_and_the_next_remedy_follows_until_none_is_left() -> None:
    loop = troubled(Judge("autopilot"))
    for _ in range(4):
        loop.train(around(3.0, 30))
    helped = [effect.helped for effect in loop.of(Effect)]
    assert helped == [False, False, False]
    assert loop.done() == [
        does.Rollback(101),
        does.Rollback(101, 0.5),
        does.ScaleLearningRate(2.0),
        does.Rollback(101, pytest.approx(0.05)),
        does.ScaleLearningRate(pytest.approx(20.0)),
        does.Stop(success=False),
    ]
    assert "it did not help and is undone; the next remedy is tried" in loop.of(Effect)[1].text
    judge = loop.judge
    loop.record(spike(200), spike(200))
    assert len(loop.done()) == 6, "nothing is repeated"
    assert isinstance(judge.policy.init(), dict)


def test_a_remedy_that_was_refused_makes_way_at_once() -> None:
    judge = Judge("autopilot")
    loop = Loop(judge, refuses=(does.ExcludeRows,), commits=(0, 100))
    loop.train(around(0.5, 105), finding("non_finite", 105, rows=[3], evidence={"onset": 105}))
    acted = loop.of(Acted)
    assert [(one.remedy, one.outcome) for one in acted] == [
        ("exclude_rows", "refused"),
        ("rollback", "applied"),
    ]


def test_a_fault_seen_inside_is_gone_when_its_own_number_says_so() -> None:
    loop = Loop(Judge("autopilot"))
    loop.train(around(0.5, 2))
    stale = finding("gradients_not_cleared", 3, evidence={"onset": 2})
    loop.train(around(0.5, 1))
    loop.record(Inspected(step=3, stale_gradient=4.0), stale)
    assert loop.done() == [does.ClearGradients(), does.Rollback(1)]
    loop.train(around(0.5, 1))
    loop.record(Inspected(step=1, stale_gradient=0.0))
    [effect] = loop.of(Effect)
    assert (effect.helped, effect.before, effect.after) == (True, 4.0, 0.0)


def test_a_remedy_in_force_is_not_taken_again_unless_it_gets_critical() -> None:
    loop = Loop(Judge("autopilot"), commits=(0, 100))
    loop.train(around(0.5, 100))
    evidence = {"onset": 101, "usual_layers": {"head": 1.0}, "usual_norm": 1.0}
    loop.train(around(0.6, 5), finding("exploding_gradient", 105, "warning", evidence=evidence))
    loop.train(around(0.5, 30))
    assert [effect.helped for effect in loop.of(Effect)] == [True]
    loop.train(around(0.5, 5), finding("exploding_gradient", 140, "warning", evidence=evidence))
    assert loop.done() == [does.ClipLayers({"head": 2.0})]
    loop.train(around(3.0, 5), finding("exploding_gradient", 145, evidence={**evidence, "onset": 141}))
    assert loop.done()[1:] == [does.SetMaxGradNorm(1.0)]


def test_what_can_not_be_done_before_there_are_batches_is_done_with_the_first() -> None:
    class Late(Loop):
        def facts(self) -> Facts:
            can = {"rollback"} if self.step == 0 else {"rollback", "exclude_rows"}
            return msgspec.structs.replace(super().facts(), actions=frozenset(can))

    loop = Late(Judge("autopilot"))
    loop.record(DataChecked(checks={}), finding("conflicting_labels", 0, "warning", rows=[3, 4]))
    assert loop.of(Acted) == []
    loop.train(around(0.5, 3))
    assert loop.done() == [does.ExcludeRows([3, 4])]
    assert loop.of(Acted)[0].step == 1


def test_bad_updates_are_counted() -> None:
    loop = Loop(Judge("autopilot"))
    loop.train([*around(0.5, 30), *([math.nan, 0.5] * 5)], finding("non_finite", 40, "warning", rows=[7]))
    assert loop.done() == [does.ExcludeRows([7])]
    loop.train(around(0.5, 30))
    [effect] = loop.of(Effect)
    assert (effect.helped, effect.after) == (True, 0)


def test_scores_wait_for_two_evaluations() -> None:
    loop = Loop(Judge("autopilot"))

    def evaluated(accuracy: float, *findings: Finding) -> None:
        score = {"accuracy": accuracy}
        loop.record(Eval(step=loop.step, epoch=1, split="validation", loss=0.5, metrics=score, rows=1000, seconds=1), *findings)  # fmt: skip

    loop.train(around(0.5, 50))
    evaluated(0.70, finding("label_noise", 50, "warning", rows=[1, 2]))
    loop.train(around(0.5, 50))
    evaluated(0.72)
    assert loop.of(Effect) == []
    loop.train(around(0.5, 50))
    evaluated(0.80)
    [effect] = loop.of(Effect)
    assert (effect.helped, effect.before, effect.after) == (True, 0.70, 0.80)


def test_a_raised_rate_that_breaks_the_run_is_taken_back_with_its_weights() -> None:
    loop = Loop(Judge("autopilot"), commits=(0, 50))
    low = finding("learning_rate_too_low", 50, "warning", evidence={"onset": 30, "update_ratio": 1e-5})
    loop.commits = (50,)
    loop.train(around(0.7, 50), low)
    assert loop.done() == [does.ScaleLearningRate(pytest.approx(1000.0))]
    loop.train(around(5.0, 10), finding("divergence", 60, evidence={"onset": 52}))
    assert loop.done()[1:] == [
        does.ScaleLearningRate(pytest.approx(1 / 1000)),
        does.Rollback(51),
        does.ScaleLearningRate(pytest.approx(1000**0.5)),
    ]
    [effect] = loop.of(Effect)
    assert effect.helped is False
    assert "divergence was seen" in effect.text


def falling(start: float, by: float, count: int) -> list[float]:
    """Losses that fall by `by` in 20 updates, with some noise."""
    return [start - by * i / 20 + 0.002 * math.sin(7.3 * i) for i in range(count)]


def test_a_rate_is_raised_for_as_long_as_that_makes_the_loss_fall_faster() -> None:
    loop = Loop(Judge("autopilot"), commits=(50,))
    evidence = {"onset": 1, "update_ratio": 1e-4, "learning_rate": 1e-5}
    loop.train(falling(2.0, 0.001, 50), finding("learning_rate_too_low", 50, "warning", evidence=evidence))
    loop.train(falling(2.0, 0.05, 30))
    loop.train(falling(1.9, 0.15, 20))
    loop.train(falling(1.7, 0.16, 20))
    assert [effect.helped for effect in loop.of(Effect)] == [True, True, False]
    assert loop.done() == [
        does.ScaleLearningRate(pytest.approx(100.0)),
        does.ScaleLearningRate(3.0),
        does.ScaleLearningRate(3.0),
        does.ScaleLearningRate(pytest.approx(1 / 3)),
    ]
    assert loop.of(Effect)[-1].text == (
        "The training loss fell by 0.15 in 20 updates before, and by 0.16 since: it did not help and is undone; there is "
        "nothing else to try."
    )


def test_the_old_trouble_better_known_is_answered_itself() -> None:
    loop = troubled(Judge("autopilot"))
    jump = finding("learning_rate_too_high", 110, evidence={"onset": 101, "rate_jump": 50.0})
    loop.train(around(3.0, 10), jump)
    assert loop.done() == [does.Rollback(101), does.Rollback(101, 0.02)]
    loop.train(around(0.5, 30))
    assert [effect.helped for effect in loop.of(Effect)] == [False, True]


def test_a_cause_found_later_takes_the_place_of_its_symptom() -> None:
    loop = Loop(Judge("autopilot"), commits=(0, 100))
    loop.train(around(0.5, 100))
    symptom = finding(
        "gradient_spike", 105, "warning", evidence={"onset": 101, "incident": "gradient_spike@105"}
    )
    loop.train(around(0.8, 5), symptom)
    assert loop.done() == [does.SetMaxGradNorm(1.0)]
    story = {"incident": "gradient_spike@105", "cause": "learning_rate_too_high", "codes": ["gradient_spike", "learning_rate_too_high"]}  # fmt: skip
    loop.train(
        around(0.8, 3),
        finding("learning_rate_too_high", 108, evidence={"onset": 101, "rate_jump": 10.0, **story}),
    )
    assert loop.done()[1:] == [does.SetMaxGradNorm(math.inf), does.Rollback(101, 0.1)]


def test_cautious_is_told_what_came_of_its_actions_and_nothing_is_undone() -> None:
    loop = Loop(Judge("cautious"), commits=(0, 100))
    loop.train(around(0.5, 100))
    loop.train(around(3.0, 10), finding("divergence", 110, evidence={"onset": 101}))
    loop.train(around(3.0, 30))
    assert loop.done() == [does.Rollback(101, 0.5)]
    assert [effect.helped for effect in loop.of(Effect)] == [False]


# People.


def test_ask_proposes_and_waits_for_the_answer() -> None:
    loop = troubled(Judge("autopilot", on={"loss_spike": "ask"}))
    [proposed] = loop.of(Proposed)
    assert (proposed.id, proposed.action, proposed.code) == (1, does.Rollback(101), "loss_spike")
    assert loop.done() == []
    loop.train(around(3.0, 5), spike(115))
    assert len(loop.of(Proposed)) == 1, "it is not asked twice"
    assert loop.judge.open_proposals() == [1]
    loop.record(Answered(step=115, id=1, approved=True, by="anna"))
    [acted] = loop.of(Acted)
    assert (acted.action, acted.by) == (does.Rollback(101), "anna")
    loop.train(around(0.5, 30))
    assert [effect.helped for effect in loop.of(Effect)] == [True]
    loop.record(Answered(step=150, id=1, approved=True, by="anna"))
    assert len(loop.of(Acted)) == 1


def test_what_was_declined_is_not_asked_again_but_the_next_remedy_may_be() -> None:
    loop = troubled(Judge("observe", on={"loss_spike": "ask"}))
    loop.record(Answered(step=110, id=1, approved=False, by="anna"))
    assert loop.of(Acted) == []
    loop.train(around(3.0, 5), spike(115))
    assert [one.remedy for one in loop.of(Proposed)] == ["rollback", "rollback_and_lower_rate"]


def test_a_named_remedy_is_taken_under_every_policy_and_once_only() -> None:
    loop = troubled(Judge("observe", on={"loss_spike": "rollback_and_lower_rate"}))
    assert loop.done() == [does.Rollback(101, 0.5)]
    loop.train(around(3.0, 30))
    assert loop.done()[1:] == [does.ScaleLearningRate(2.0)]
    assert "there is nothing else to try" in loop.of(Effect)[0].text
    loop.train(around(3.0, 5), spike(115))
    assert len(loop.done()) == 2


def test_ask_with_a_remedy_asks_for_that_one() -> None:
    loop = troubled(Judge("autopilot", on={"loss_spike": "ask lower_rate"}))
    assert [one.action for one in loop.of(Proposed)] == [does.ScaleLearningRate(0.5)]


def test_observe_for_one_kind_leaves_it_alone() -> None:
    assert troubled(Judge("autopilot", on={"loss_spike": "observe"})).done() == []


@pytest.mark.parametrize(
    ("on", "told"),
    [
        ({"los_spike": "ask"}, "did you mean `loss_spike`"),
        ({"loss_spike": "rolback"}, "did you mean `rollback`"),
        ({"loss_spike": "ask rolback"}, "did you mean `rollback`"),
    ],
)
def test_unknown_faults_and_remedies_are_refused_with_the_nearest(on: dict[str, str], told: str) -> None:
    recipe = Recipe.model_validate({"data": {"train": "a.csv"}, "on": on})
    with pytest.raises(RecipeError, match=told) as refused:
        Judge.from_recipe(recipe)
    assert refused.value.problems[0].field == f"on.{next(iter(on))}"


# Budgets, dry runs, resumes.


def test_the_recipes_budget_bounds_any_policy_and_is_said_once() -> None:
    judge = Judge("autopilot", budget=1)
    loop = troubled(judge)
    for _ in range(3):
        loop.train(around(3.0, 30), finding("divergence", loop.step + 30, evidence={"onset": 101}))
    assert sum(record.remedy != "" for record in loop.of(Acted)) == 1
    assert [note.topic for note in loop.of(Note)] == ["policy"]
    assert "policy_budget" in loop.of(Note)[0].text


def test_a_dry_run_shows_each_thing_once_and_does_nothing() -> None:
    loop = troubled(Judge("autopilot", dry_run=True))
    loop.train(around(3.0, 5), spike(115))
    assert loop.done() == []
    assert [(one.outcome, one.remedy) for one in loop.of(Acted)] == [
        ("dry_run", "rollback"),
        ("dry_run", "rollback_and_lower_rate"),
    ]
    over = finding("overtraining", 120, "info")
    facts = Facts(step=120, last_step=900, learning_rate=1e-3, early_stopping=True)
    [proposal] = loop.judge.follow(over, [over], lambda: facts)
    assert isinstance(proposal, Proposal)
    assert not loop.judge.is_for_show(proposal), "what the recipe's own keys ask for is done"


def test_a_judge_resumes_exactly() -> None:
    """Packed and unpacked at every record, it decides what one that was never cut decides."""
    whole = troubled(Judge("autopilot", on={"divergence": "ask"}))
    cut = Loop(Judge("autopilot", on={"divergence": "ask"}), commits=(0, 100))

    class Cut(Loop):
        def record(self, record: Record, *findings: Finding) -> None:
            resumed = Judge("autopilot", on={"divergence": "ask"})
            resumed.unpack(json.loads(json.dumps(self.judge.pack(), allow_nan=False)))
            self.judge = resumed
            super().record(record, *findings)

    cut = Cut(cut.judge, commits=(0, 100))
    cut.train(around(0.5, 100))
    cut.train(around(3.0, 10), spike(110))
    for loop in (whole, cut):
        loop.record(Rewound(step=0, to_step=loop.step, commit=1, reason="resume"))
        loop.train(
            [*around(3.0, 20), math.nan], finding("divergence", 121, evidence={"onset": 115, "now": math.nan})
        )
        loop.train(around(3.0, 40))
    assert [encode(one) for one in cut.log] == [encode(one) for one in whole.log]
    assert [effect.helped for effect in whole.of(Effect)] == [False]
    assert len(whole.of(Proposed)) == 1

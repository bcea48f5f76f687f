"""What is done about a run: nothing, watching, mending, or anything at all."""

from __future__ import annotations

import math
import random
from typing import ClassVar

import msgspec

from tunewell import actions as does
from tunewell.actions import Action
from tunewell.policies import Facts, Proposal, State
from tunewell.records import Finding

ARMS = {
    "nothing": None,
    "observe": "observe",
    "autopilot": "autopilot",
    "random": "benchmarks.faultbench.arms:RandomActions",
}
"""Arms and the policies that they give to `tunewell.watch`; None: the loop is not watched."""


class RandomActions(msgspec.Struct, frozen=True, kw_only=True):
    """Any action, wherever the autopilot would look for a remedy; as many as it may take for one kind of fault."""

    per_kind: int = 5
    total_budget: int = 40

    guards: ClassVar[bool] = False
    """To refuse an update is a repair of the autopilot's own."""
    seed: ClassVar[str] = ""
    """Set before a run; a policy is made by its name."""

    def init(self) -> State:
        """Return the state of a run's beginning."""
        return {"taken": {}, "actions": 0}

    def decide(self, state: State, findings: list[Finding], facts: Facts) -> tuple[State, list[Proposal]]:
        """Return one action for each finding above info."""
        proposals = []
        for finding in findings:
            taken = state["taken"].get(finding.code, 0)
            if finding.severity == "info" or taken >= self.per_kind or state["actions"] >= self.total_budget:
                continue
            state = {"taken": {**state["taken"], finding.code: taken + 1}, "actions": state["actions"] + 1}
            draw = random.Random(f"{self.seed} {state['actions']}")
            action = draw.choice([one for one in _any(draw, facts) if _is_possible(one, facts)])
            proposals.append(Proposal(action, "drawn at random", finding.code, "random"))
        return state, proposals


def _any(draw: random.Random, facts: Facts) -> list[Action]:
    return [
        does.ScaleLearningRate(_between(draw, 0.01, 10)),
        does.SetMaxGradNorm(_between(draw, 0.1, 10)),
        does.Rewarm(max(1, facts.last_step // 10)),
        does.StretchSchedule(_between(draw, 1, 8)),
        does.Rollback(before=max(1, facts.step)),
        does.ClearGradients(),
        does.DivideGradients(),
        does.ScaleLoss(_between(draw, 1, 2**16)),
        does.SetEpsilon(_between(draw, 1e-10, 1e-3)),
        does.SetMode(),
        does.NormalizeInputs(0.0, _between(draw, 0.1, 100)),
        does.TakeLogarithm(),
        does.ShuffleRows(),
        does.BalanceClasses(),
    ]


def _between(draw: random.Random, least: float, most: float) -> float:
    return math.exp(draw.uniform(math.log(least), math.log(most)))


def _is_possible(action: Action, facts: Facts) -> bool:
    return facts.actions is None or action.__struct_config__.tag in facts.actions

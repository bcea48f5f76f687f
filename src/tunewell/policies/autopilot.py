"""Mend whatever there is a remedy for, and see whether it helped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.actions import Action, ExcludeRows, Rollback, ScaleLearningRate, Stop
from tunewell.policies._asked import asked
from tunewell.policies._evidence import onset
from tunewell.policies._ladders import is_due, next_remedy
from tunewell.policies._protocol import Facts, Proposal, State
from tunewell.records import Finding


class Autopilot(msgspec.Struct, frozen=True, kw_only=True):
    """Answer each fault above info with the first remedy of its ladder that has not failed in this run.

    What a remedy does is measured some updates later. What did not help is undone and not done again for that kind of
    fault, and the next remedy is tried at once, until none is left: then the run goes on and says so, or is given up
    where going on would be of no use. Of a fault and what it brought about the cause alone is mended. One refused update
    or a single bad batch is left alone.
    """

    per_kind: Annotated[int, Meta(ge=0)] = 5
    """Remedies for one kind of fault in the whole run; excluding rows doesn't count."""
    total_budget: Annotated[int, Meta(ge=0)] = 40
    """Actions of the whole run. No sound run needs one; one with many faults at once needs a dozen."""

    guards: ClassVar[bool] = True

    def init(self) -> State:
        """Return the state of a run's beginning."""
        return {"remedies": {}, "actions": 0}

    def decide(self, state: State, findings: list[Finding], facts: Facts) -> tuple[State, list[Proposal]]:
        """Return the recipe's own actions, and a remedy for each finding that has one; the earliest fault first."""
        proposals = asked(findings, facts)
        if any(isinstance(proposal.action, Stop) for proposal in proposals):
            return state, proposals
        goes_back = False
        answered = set(facts.in_treatment)
        for finding in sorted(filter(is_due, findings), key=_first):
            is_known = finding.code in answered or finding.evidence.get("cause") in answered
            is_known |= finding.code in facts.settled and finding.severity != "critical"
            found = None if is_known else next_remedy(finding, facts)
            if found is None:
                continue
            remedy, actions = found
            actions = _without_rollback(actions) if goes_back else actions
            counts = not all(isinstance(action, ExcludeRows) for action in actions)
            used = state["remedies"].get(finding.code, 0)
            if (counts and used >= self.per_kind) or state["actions"] + len(actions) > self.total_budget:
                continue
            state = {
                "remedies": {**state["remedies"], finding.code: used + counts},
                "actions": state["actions"] + len(actions),
            }
            answered.add(finding.code)
            goes_back |= any(isinstance(action, Rollback) for action in actions)
            proposals += [
                Proposal(action, finding.summary, finding.code, "autopilot", remedy) for action in actions
            ]
        return state, proposals


def _first(finding: Finding) -> tuple[bool, int, bool]:
    """Causes come before their symptoms, then what began first."""
    is_symptom = finding.evidence.get("cause", finding.code) != finding.code
    return is_symptom, onset(finding), finding.severity != "critical"


def _without_rollback(actions: Sequence[Action]) -> tuple[Action, ...]:
    """Return `actions` for a run that another remedy of the same moment takes back further."""
    kept: list[Action] = []
    for action in actions:
        if not isinstance(action, Rollback):
            kept.append(action)
        elif action.learning_rate_factor != 1.0:
            kept.append(ScaleLearningRate(action.learning_rate_factor))
    return tuple(kept)

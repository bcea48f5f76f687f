"""Act where waiting would lose the run, as little as will do."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.actions import Action, ExcludeRows, Rollback, ScaleLearningRate, Stop
from tunewell.policies._asked import asked
from tunewell.policies._protocol import Facts, Proposal, State
from tunewell.records import Finding


class Cautious(msgspec.Struct, frozen=True, kw_only=True):
    """Go back to the last healthy checkpoint with a lower rate when the run is coming apart; else only report.

    Acted on: a lasting loss spike, divergence, a rate that is too high, gradients that explode and take the loss with
    them, losses that are not finite again and again. One bad batch is left alone: the loop has refused its update.
    Rows whose own loss is not finite in two findings are excluded; where they explain every refused update,
    that is all that is done, since the weights are well.

    The batches between the checkpoint and the rollback are passed over. After `budget` rollbacks in a row without
    getting `progress` updates further, the run is stopped as failed: another try would only cost time. A model that is
    no better than guessing is left alone at first, since a low rate or hard data look so too; after a rollback it
    means that the cut was not enough.
    """

    budget: Annotated[int, Meta(ge=0)] = 3
    """Rollbacks for one trouble. A rate 100 times too high needs two."""
    total_budget: Annotated[int, Meta(ge=0)] = 10
    """Rollbacks of a whole run."""
    progress: Annotated[int, Meta(ge=1)] = 200
    """Updates beyond where the last trouble was seen that show that it is over."""
    factor: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """What a rollback multiplies the rate by."""
    factor_severe: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """The same where the rate is far too high: nothing was ever learned, or it was measured so."""

    guards: ClassVar[bool] = True

    def init(self) -> State:
        """Return the state of a run's beginning."""
        return {"rollbacks": 0, "in_a_row": 0, "furthest": 0, "blamed": {}, "excluded": []}

    def decide(self, state: State, findings: list[Finding], facts: Facts) -> tuple[State, list[Proposal]]:
        """Return the recipe's own actions, rows to exclude, and at most one rollback."""
        proposals = asked(findings, facts)
        if any(isinstance(proposal.action, Stop) for proposal in proposals):
            return state, proposals
        state, excluded = _exclude(state, findings)
        rescued_before = state["in_a_row"] > 0
        troubles = [f for f in findings if _is_trouble(f) or (rescued_before and _learned_nothing(f))]
        if not troubles:
            return state, [*proposals, *excluded]
        state, rescued = self._rescue(state, troubles, facts)
        return state, [*proposals, *excluded, rescued]

    def _rescue(self, state: State, troubles: list[Finding], facts: Facts) -> tuple[State, Proposal]:
        worst = min(troubles, key=_onset)
        before = _onset(worst)
        factor = self.factor_severe if any(map(_is_rate_far_too_high, troubles)) else self.factor
        leaps = [float(finding.evidence.get("rate_jump") or 1.0) for finding in troubles]
        if max(leaps) > 1:  # by how much it is too high is known
            factor = 1 / max(leaps)
        in_a_row = 0 if before > state["furthest"] + self.progress else state["in_a_row"]
        action: Action
        if in_a_row >= self.budget or state["rollbacks"] >= self.total_budget:
            return state, _proposed(
                Stop(success=False), f"{in_a_row} rollbacks in a row have not helped: {worst.summary}", worst
            )
        if any(commit < before for commit in facts.healthy_commits):
            action = Rollback(before=before, learning_rate_factor=factor)
        else:  # nothing to go back to: the least that can be done
            action = ScaleLearningRate(factor)
        state = {
            **state,
            "rollbacks": state["rollbacks"] + 1,
            "in_a_row": in_a_row + 1,
            "furthest": max(facts.step, state["furthest"]),
        }
        return state, _proposed(action, worst.summary, worst)


def _is_trouble(finding: Finding) -> bool:
    match finding.code:
        case "non_finite":
            return finding.severity == "critical" and not _rows_explain(finding)
        case "loss_spike":
            return bool(finding.evidence.get("sustained", False))
        case "divergence" | "exploding_gradient" | "learning_rate_too_high":
            return finding.severity == "critical"
    return False


def _learned_nothing(finding: Finding) -> bool:
    """Whether the model is still no better than guessing: after a rollback it means that the cut was not enough."""
    return finding.code == "underfitting" or bool(finding.evidence.get("never_learned", False))


def _is_rate_far_too_high(finding: Finding) -> bool:
    return _learned_nothing(finding) or finding.evidence.get("rate_jump", 1.0) > 5


def _onset(finding: Finding) -> int:
    """Return the step that the trouble began with; the start of the run is whole, so at the earliest the first."""
    return max(1, int(finding.evidence.get("onset", finding.step)))


def _exclude(state: State, findings: list[Finding]) -> tuple[State, list[Proposal]]:
    """Rows whose own loss was not finite in two updates: once may be the model's fault, twice is the row's."""
    blaming = [finding for finding in findings if finding.code == "non_finite" and finding.rows]
    if not blaming:
        return state, []
    blamed: Counter[str] = Counter(state["blamed"])
    for finding in blaming:
        blamed.update(str(row) for row in finding.rows)
    known = set(state["excluded"])
    needed = 1 if any(one.severity == "critical" and _rows_explain(one) for one in blaming) else 2
    again = {row for finding in blaming for row in finding.evidence.get("again", [])}
    again |= {int(row) for row, times in blamed.items() if times >= needed}
    rows = sorted(again - known)
    state = {**state, "blamed": dict(blamed), "excluded": sorted(known | set(rows))}
    if not rows:
        return state, []
    return state, [_proposed(ExcludeRows(rows), blaming[-1].summary, blaming[-1])]


def _rows_explain(finding: Finding) -> bool:
    """Whether bad rows explain every refused update: the weights are well, and only the rows have to go."""
    evidence = finding.evidence
    return bool(evidence.get("rows_explain_all", False)) and not evidence.get("applied", False)


def _proposed(action: Action, reason: str, finding: Finding) -> Proposal:
    return Proposal(action, reason, finding.code, "cautious")

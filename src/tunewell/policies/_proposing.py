"""Proposals as values: the remedy that a recipe names, proposals that belong together, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

from tunewell.actions import Action
from tunewell.policies._answers import Answer
from tunewell.policies._effects import Course
from tunewell.policies._ladders import actions_of, is_due, is_told, next_remedy
from tunewell.policies._protocol import Facts, Proposal
from tunewell.records import Effect, Finding, Note, Proposed

Decision = Proposal | Proposed | Effect | Note
"""What follows from a record: an action to carry out and to log as `Acted`, or a record to log."""


def chosen(finding: Finding, answer: Answer, facts: Facts, by: str) -> list[Proposal]:
    """Return the remedy that a recipe's `on` names, or the next of the ladder where it only says ``ask``."""
    if finding.code in facts.in_treatment or finding.code in facts.settled:
        return []
    if answer.remedy:
        is_left = is_told(finding) and answer.remedy not in facts.failed.get(finding.code, ())
        found = answer.remedy, actions_of(answer.remedy, finding, facts) if is_left else ()
    else:
        found = (next_remedy(finding, facts) if is_due(finding) else None) or ("", ())
    return [Proposal(action, finding.summary, finding.code, by, found[0]) for action in found[1]]


def grouped(proposals: Sequence[Proposal]) -> list[list[Proposal]]:
    """Return proposals that belong together in one list each."""
    groups: dict[tuple[str, str, str], list[Proposal]] = {}
    for one in proposals:
        groups.setdefault((one.by, one.finding_code, one.remedy), []).append(one)
    return list(groups.values())


def what_follows(
    course: Course, helped: bool | None, undo: Sequence[Action], follows: Sequence[Decision], instead: bool
) -> str:
    """Return in words whether a remedy helped and what is done about it.

    `instead`: not the next remedy for the same finding follows, but one for what was found since.
    """
    if helped:
        return "it helped; more of it is tried" if follows else "it helped"
    if helped is None:
        return "whether it helped can't be told"
    said = "it did not help"
    if undo:
        said += " and is undone" + (", as far as it can be" if course.not_undone else "")
    if instead:
        return f"{said}; what was found now is answered in its place"
    if any(isinstance(one, Proposal | Proposed) for one in follows):
        return f"{said}; the next remedy is tried"
    return f"{said}; there is nothing else to try" if course.remedy else said


def spent(budget: int) -> str:
    """Return what is said when the budget is used up."""
    return (
        f"the policy's budget of {budget} actions is used up: from now on it only reports (`policy_budget`)"
    )


def in_words(name: str) -> str:
    """Return the name of a fault or a remedy as it reads."""
    return name.replace("_", " ")

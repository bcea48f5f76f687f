"""A run's judge: its policy, what the recipe says of single faults, what people answered, and what came of it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from tunewell.actions import Action, Rollback, Stop
from tunewell.inspections import Inspected
from tunewell.plugins import load
from tunewell.policies import _curves, _effects
from tunewell.policies._answers import answers
from tunewell.policies._curves import Curves
from tunewell.policies._effects import Course, Outcome
from tunewell.policies._ladders import CALMING, CONTINUED, STANDING, actions_of
from tunewell.policies._proposing import Decision, chosen, grouped, in_words, spent, what_follows
from tunewell.policies._protocol import Facts, Policy, Proposal
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
    spell_non_finite,
)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal that waits for a person."""

    id: int
    finding: Finding
    remedy: str
    by: str
    actions: list[Action]


class _State(msgspec.Struct, kw_only=True):
    """What a judge knows, as JSON values; it never rewinds with the run."""

    policy: dict[str, Any]
    curves: Curves = Curves()
    courses: list[Course] = []
    asked: list[_Asked] = []
    failed: dict[str, list[str]] = {}
    settled: dict[str, str] = {}
    """By code the remedy that helped and stays in force."""
    early: list[Finding] = []
    """Found before the first update, and nothing could be done about it then."""
    taken: int = 0
    proposed: int = 0
    said: list[str] = []


class Judge:
    """Turns records into decisions; the same one serves this project's loop and other people's.

    Each record goes through `follow` once it is logged, with the findings of it; the decisions are then carried out
    in their order, and what that logs (`Acted`, `Rewound`, `Effect` …) goes through `follow` in turn, each before the
    next decision is carried out.

    Of a remedy's actions the effect is measured some updates later (`_effects`). What did not help is undone and not
    done again for that kind of fault; the next remedy follows at once, until none is left.
    """

    def __init__(
        self,
        policy: str | Policy = "cautious",
        *,
        on: Mapping[str, str] | None = None,
        budget: int | None = None,
        dry_run: bool = False,
        strict: bool = True,
    ) -> None:
        """`on` as in a recipe (raises `RecipeError`); `budget`: most actions of the policy, None: its own.

        `dry_run` says that proposals are to be logged as ``dry_run`` and not carried out, those of the recipe's own keys
        excepted (`is_for_show`). `strict`: kinds of fault in `on` that no monitor here tells are refused.
        """
        self.name = policy if isinstance(policy, str) else type(policy).__name__.lower()
        self.policy: Policy = load("policies", policy)() if isinstance(policy, str) else policy
        self.dry_run, self._budget = dry_run, budget
        self._on = answers(on or {}, strict=strict)
        self._state = _State(policy=self.policy.init())

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Judge:
        """Return the judge that `recipe` asks for; raises `RecipeError` for an unknown policy, fault or remedy."""
        has_own_monitors = any(":" in name for name in recipe.monitors)
        return cls(
            recipe.policy,
            on=recipe.on,
            budget=recipe.policy_budget,
            dry_run=recipe.dry_run_actions,
            strict=not has_own_monitors,
        )

    def is_for_show(self, proposal: Proposal) -> bool:
        """Return whether `proposal` is to be logged and not carried out."""
        return self.dry_run and proposal.by != "recipe"

    def open_proposals(self) -> list[int]:
        """Return the ids of the proposals that nobody has answered."""
        return [one.id for one in self._state.asked]

    def forget_questions(self) -> None:
        """Wait no longer for answers."""
        self._state.asked = []

    def follow(
        self, record: Record, findings: Sequence[Finding], facts: Callable[[], Facts]
    ) -> list[Decision]:
        """Return what follows from a logged record and its findings; `facts` is asked only where something does."""
        decisions: list[Decision] = []
        match record:
            case Acted():
                decisions += self._acted(record, facts)
            case Rewound(reason="rollback"):
                courses = self._state.courses
                self._state.courses = [_effects.rewound(one, record.to_step) for one in courses]
            case Answered():
                decisions += self._answered(record)
            case Step() | Inspected() | Eval():
                decisions += self._measured(record, facts)
        if findings:
            decisions += self._superseded(findings)
            instead, left = self._refuted(findings, facts)
            decisions += instead
            decisions += self._decided(left, facts()) if left else []
        return [*decisions, *self._late(record, findings, decisions, facts)]

    def pack(self) -> dict[str, Any]:
        """Return the state as JSON values; restored at a resume, never at a rollback."""
        packed: dict[str, Any] = spell_non_finite(msgspec.to_builtins(self._state))
        return packed

    def unpack(self, packed: Mapping[str, Any]) -> None:
        """Stand where `pack` stood."""
        self._state = msgspec.convert(packed, _State, strict=False)

    # What is decided.

    def _late(
        self,
        record: Record,
        findings: Sequence[Finding],
        decided: Sequence[Decision],
        facts: Callable[[], Facts],
    ) -> list[Decision]:
        """Decide again, once training goes, on what was found before it: much can't be done before there are batches."""
        if isinstance(record, Step):
            early, self._state.early = self._state.early, []
            return self._decided(early, facts()) if early else []
        if findings and not self._state.curves.bad:
            answered = {one.finding_code for one in decided if isinstance(one, Proposal)}
            answered |= {one.code for one in decided if isinstance(one, Proposed)}
            left = [one for one in findings if one.code not in answered and one.severity != "info"]
            self._state.early = [*self._state.early, *left]
        return []

    def _decided(self, findings: list[Finding], facts: Facts) -> list[Decision]:
        """Return what to do about findings: what `on` says of their kinds, of the others what the policy says."""
        facts = self._filled(facts)
        proposals: list[Proposal] = []
        left: list[Finding] = []
        for finding in findings:
            answer = self._on.get(finding.code)
            if answer is not None and answer.remedy:
                proposals += chosen(finding, answer, facts, self.name)
            elif answer is None or answer.mode == "ask":
                left.append(finding)
        self._state.policy, more = self.policy.decide(self._state.policy, left, facts)
        proposals += more
        for finding in left:
            if finding.code in self._on and all(one.finding_code != finding.code for one in more):
                proposals += chosen(finding, self._on[finding.code], facts, self.name)
        return self._disposed(proposals, findings, facts)

    def _disposed(self, proposals: list[Proposal], findings: list[Finding], facts: Facts) -> list[Decision]:
        """Return `proposals` within the budget, begin to follow them, and turn those to be asked into questions."""
        decisions: list[Decision] = []
        for group in grouped(proposals):
            first = group[0]
            finding = next((one for one in findings if one.code == first.finding_code), None)
            if first.by == "recipe" or finding is None:
                decisions += group
            elif self._budget is not None and self._state.taken + len(group) > self._budget:
                decisions += self._say(facts.step, "budget", spent(self._budget))
            elif (answer := self._on.get(first.finding_code)) is not None and answer.mode == "ask":
                decisions.append(self._ask(group, finding, facts))
            else:
                decisions += group
                self._begin(finding, group)
        return decisions

    def _begin(self, finding: Finding, group: list[Proposal]) -> None:
        """Count the actions of one remedy, and follow what comes of them; nothing comes after an end."""
        first = group[0]
        self._state.taken += len(group)
        if any(isinstance(one.action, Stop) for one in group):
            self._fail(finding.code, first.remedy)
            return
        course = Course(finding=finding, remedy=first.remedy, by=first.by, awaited=len(group))
        others = [one for one in self._state.courses if one.code != course.code]
        self._state.courses = [*others, course]

    def _filled(self, facts: Facts) -> Facts:
        state = self._state
        failed = dict(state.failed)
        for code, remedy in state.settled.items():  # what comes in spite of it asks for another
            failed[code] = [*failed.get(code, []), remedy]
        treated = {one.code for one in state.courses if one.remedy} | {
            one.finding.code for one in state.asked
        }
        return msgspec.structs.replace(
            facts,
            **_curves.facts_of(state.curves),
            failed={code: tuple(names) for code, names in failed.items()},
            settled=frozenset(state.settled),
            in_treatment=frozenset(treated),
        )

    def _say(self, step: int, topic: str, text: str) -> list[Decision]:
        if topic in self._state.said:
            return []
        self._state.said = [*self._state.said, topic]
        return [Note(step=step, text=text, topic="policy")]

    # What people say.

    def _ask(self, group: list[Proposal], finding: Finding, facts: Facts) -> Proposed:
        state, (first, *others) = self._state, group
        state.proposed += 1
        actions = [one.action for one in group]
        asked = _Asked(id=state.proposed, finding=finding, remedy=first.remedy, by=first.by, actions=actions)
        state.asked = [*state.asked, asked]
        return Proposed(
            step=facts.step,
            id=asked.id,
            action=first.action,
            also=[one.action for one in others],
            by=first.by,
            reason=first.reason,
            code=finding.code,
            remedy=first.remedy,
        )

    def _answered(self, record: Answered) -> list[Decision]:
        asked = next((one for one in self._state.asked if one.id == record.id), None)
        if asked is None:
            return []
        self._state.asked = [one for one in self._state.asked if one.id != record.id]
        finding = asked.finding
        if not record.approved:
            self._fail(finding.code, asked.remedy)
            return []
        proposals = [
            Proposal(action, finding.summary, finding.code, record.by, asked.remedy)
            for action in asked.actions
        ]
        self._begin(finding, proposals)
        return list(proposals)

    # What was done, and what came of it.

    def _acted(self, record: Acted, facts: Callable[[], Facts]) -> list[Decision]:
        state = self._state
        own = (record.code, record.remedy)
        awaited = (i for i, one in enumerate(state.courses) if one.awaited and (one.code, one.remedy) == own)
        place = next(awaited, None)
        if place is None:
            return []
        course = state.courses[place]
        course = msgspec.structs.replace(course, awaited=course.awaited - 1)
        if record.outcome == "applied":
            undo = [record.undo] if record.undo is not None else []
            course = msgspec.structs.replace(
                course,
                applied=[*course.applied, record.action],
                undo=[*undo, *course.undo],
                not_undone=course.not_undone or not undo,
            )
            if len(course.applied) == 1:
                course = _effects.began(course, state.curves, record.step)
        courses = [*state.courses[:place], course, *state.courses[place + 1 :]]
        if course.awaited or course.applied:
            state.courses = courses
            return []
        state.courses = [one for one in courses if one is not course]
        self._fail(course.code, course.remedy)
        if record.outcome == "dry_run" or not course.remedy:
            return []
        return self._decided([course.finding], facts())

    def _measured(self, record: Step | Inspected | Eval, facts: Callable[[], Facts]) -> list[Decision]:
        state = self._state
        state.curves = _curves.follow(state.curves, record)
        if not state.courses:
            return []
        metric = state.curves.metric or "loss"
        courses = [_effects.follow(one, record, metric) if one.is_measured else one for one in state.courses]
        ended = [(one, found) for one in courses if one.is_measured and (found := _effects.outcome(one))]
        state.courses = [one for one in courses if all(one is not other for other, _ in ended)]
        return [one for course, found in ended for one in self._concluded(course, found, record.step, facts)]

    def _concluded(
        self, course: Course, found: Outcome, step: int, facts: Callable[[], Facts], *, instead: bool = False
    ) -> list[Decision]:
        """Return the effect, what takes back what did not help, and what follows: more of it, or the next remedy.

        `instead`: another finding is answered in place of the one that this remedy was for.
        """
        undo: list[Action] = []
        follows: list[Decision] = []
        if found.helped and course.remedy in STANDING:
            self._state.settled = {**self._state.settled, course.code: course.remedy}
        elif found.helped and course.remedy in CONTINUED:
            follows = self._continued(course, facts())
        elif found.helped is False and course.remedy:
            self._fail(course.code, course.remedy)
            known, undo = facts(), list(course.undo)
            if not instead and course.remedy not in CONTINUED.values():
                follows = self._decided([course.finding], known)
            goes_back = any(isinstance(one, Proposal) and isinstance(one.action, Rollback) for one in follows)
            can_go_back = any(commit <= course.position for commit in known.healthy_commits)
            if found.worse and can_go_back and not (goes_back or instead):
                undo.append(Rollback(before=course.position + 1))
        effect = Effect(
            step=step,
            acted_step=course.acted_step,
            action=course.applied[0],
            code=course.code,
            helped=found.helped,
            measure=found.measure,
            before=found.before,
            after=found.after,
            text=f"{found.text}: {what_follows(course, found.helped, undo, follows, instead)}.",
            remedy=course.remedy,
        )
        reason = f"{in_words(course.remedy)} did not help"
        return [effect, *(Proposal(action, reason, course.code, course.by) for action in undo), *follows]

    def _continued(self, course: Course, facts: Facts) -> list[Decision]:
        """Return more of a remedy that helped."""
        remedy = CONTINUED[course.remedy]
        actions = actions_of(remedy, course.finding, facts)
        more = [Proposal(one, course.finding.summary, course.code, course.by, remedy) for one in actions]
        return self._disposed(more, [course.finding], facts)

    def _superseded(self, findings: Sequence[Finding]) -> list[Decision]:
        """Return what takes back remedies for symptoms whose cause is found now: that is mended in their place."""
        decisions: list[Decision] = []
        for finding in findings:
            for course in self._end(partial(_effects.is_caused_by, finding=finding)):
                reason = f"its cause was found: {in_words(finding.code)}"
                decisions += [Proposal(action, reason, course.code, course.by) for action in course.undo]
        return decisions

    def _refuted(
        self, findings: Sequence[Finding], facts: Callable[[], Facts]
    ) -> tuple[list[Decision], list[Finding]]:
        """Return what ends the remedies that findings show to be of no use before their time, and the findings left.

        What is seen after a remedy that can make a run unstable is that remedy's fault: it is taken back, and the next
        one answers. After any other remedy it is the old trouble, better known now, and is answered itself.
        """
        decisions: list[Decision] = []
        left = list(findings)
        for course in self._end(lambda one: any(_effects.is_refuted_by(one, f) for f in findings)):
            against = [one for one in findings if _effects.is_refuted_by(course, one)]
            others = [one for one in against if one.code != course.code]
            instead = course.remedy in CALMING and bool(others)
            found = _effects.refuted(course, (others or against)[0])
            told = self._concluded(course, found, findings[0].step, facts, instead=instead)
            decisions += told
            if not instead and any(isinstance(one, Proposal | Proposed) for one in told):
                left = [one for one in left if one not in against]
        return decisions, left

    def _end(self, is_over: Callable[[Course], bool]) -> list[Course]:
        """Take the remedies for which `is_over` holds out of those that are followed, and return them."""
        courses = self._state.courses
        ended = [one for one in courses if one.remedy and one.is_measured and is_over(one)]
        self._state.courses = [one for one in courses if all(one is not other for other in ended)]
        return ended

    def _fail(self, code: str, remedy: str) -> None:
        if remedy and remedy not in self._state.failed.get(code, []):
            failed = [*self._state.failed.get(code, []), remedy]
            self._state.failed = {**self._state.failed, code: failed}

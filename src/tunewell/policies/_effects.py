"""Whether what was done about a fault helped: the measure that the fault showed in, before and after, noise considered.

Pure functions. A `Course` begins with the actions of one remedy and gathers what is measured afterwards; `outcome` says
what came of it as soon as that can be said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from tunewell.actions import Action, Rollback
from tunewell.monitors._scores import is_falling
from tunewell.monitors._statistics import mean, median, rank_z, spread
from tunewell.policies._curves import LOOKS, Curves, looks_in
from tunewell.policies._evidence import onset
from tunewell.records import Eval, Finding, Record, Step

Kind = Literal["loss", "pace", "bad", "look", "score", "rows", "none"]

WAIT = 30
"""Updates after an action before the loss is judged: time for Adam's averages (β₁ = 0.9) to forget what came before."""
JUDGED = 20
"""Of these, the last ones, whose losses are compared."""
FEW = 5
"""Losses before the action below which there is nothing to compare with."""
PATIENCE = 120
"""Updates without the number that is waited for, after which the effect can't be told."""
EVALUATIONS = 2
"""Evaluations waited for: one alone may be luck."""
SURE = 2.0
"""Standard errors that are more than chance (two-sided, 5 %)."""
PACE_WAIT = 20
"""Updates after which it is judged whether the loss falls faster."""
FASTER = 1.2
"""Times as fast that a trebled rate must make the loss fall: thrice while it is far too low, no faster near the best."""
GONE = 0.1
"""Share of its size before under which a number from inside counts as gone."""

USUAL_SHARE = 0.5
"""Share of a layer's units that give nothing for any row, or always their most, or of its gradient that is exactly zero
(behind such units), and are no fault yet: a fault begins well above it."""

_SHARES = {"dead_units", "saturation", "gradient_underflow"}
_SCORED = {
    "overfitting",
    "overtraining",
    "plateau",
    "forgetting",
    "label_noise",
    "conflicting_labels",
    "class_imbalance",
}
_ROWS = {"leakage", "duplicates", "truncated_targets"}
"""Faults of rows whose removal no score can praise: with them the scores were too good, or told nothing."""
_UNMEASURED = {
    "stall", "memory_growth", "disk_running_out", "rank_divergence", "shifted_labels", "inputs_unrelated",
    "cannot_fit_a_batch",
}  # fmt: skip
"""Faults that no curve shows, or that leave nothing sound to compare with."""


def kind_of(code: str) -> Kind:
    """Return in which measure a fault of this kind shows."""
    if code in LOOKS:
        return "look"
    if code == "non_finite":
        return "bad"
    if code in _UNMEASURED:
        return "none"
    return "score" if code in _SCORED else "rows" if code in _ROWS else "loss"


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One remedy from its first action to what came of it."""

    finding: Finding
    remedy: str
    by: str
    awaited: int
    """Actions whose outcome is not known yet."""
    applied: list[Action] = []
    undo: list[Action] = []
    """What takes them back, the last one first."""
    not_undone: bool = False
    """An action was applied that nothing takes back."""
    acted_step: int = 0
    position: int = 0
    """Update after which training went on: less than `acted_step` where it was rolled back."""
    before: Curves = Curves()
    """As it was when it was acted."""
    updates: int = 0
    losses: list[float] = []
    bad: int = 0
    looks: dict[str, float] = {}
    scores: list[tuple[int, float, float]] = []

    @property
    def code(self) -> str:
        """Kind of fault that it is for."""
        return self.finding.code

    @property
    def kind(self) -> Kind:
        """What it is measured in."""
        return "pace" if self.remedy == "raise_rate_further" else kind_of(self.code)

    @property
    def is_measured(self) -> bool:
        """Whether all its actions are done and at least one was applied."""
        return not self.awaited and bool(self.applied)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a course."""

    helped: bool | None
    measure: str
    before: float | None = None
    after: float | None = None
    text: str
    worse: bool = False
    """It did harm: the weights since then are worth less than those before."""


def began(course: Course, curves: Curves, step: int) -> Course:
    """Return `course` as its last action has just been applied at `step`."""
    return msgspec.structs.replace(course, acted_step=step, position=step, before=curves)


def rewound(course: Course, to_step: int) -> Course:
    """Return `course` after a rollback: what was measured so far is of weights that are gone."""
    return msgspec.structs.replace(course, position=to_step, updates=0, losses=[], bad=0, looks={}, scores=[])


def follow(course: Course, record: Record, metric: str) -> Course:
    """Return `course` after `record`; `metric` names the validation score."""
    match record:
        case Step():
            is_finite = math.isfinite(record.loss) and math.isfinite(record.gradient_norm)
            course = msgspec.structs.replace(
                course,
                updates=course.updates + 1,
                losses=[*course.losses, record.loss] if is_finite and not record.skipped else course.losses,
                bad=course.bad + (not is_finite),
            )
        case Eval() if record.split == "validation":
            score = record.loss if metric == "loss" else record.metrics.get(metric, math.nan)
            if math.isfinite(score):
                course = msgspec.structs.replace(course, scores=[*course.scores, (record.step, score, 0.0)])
    looks = looks_in(record)
    return msgspec.structs.replace(course, looks=course.looks | looks) if looks else course


def outcome(course: Course) -> Outcome | None:
    """Return what came of `course`, or None as long as that can't be said."""
    match course.kind:
        case "pace":
            found = _of_pace(course)
        case "loss":
            found = _of_loss(course)
        case "bad":
            found = _of_bad_updates(course)
        case "look":
            found = _of_look(course)
        case "score":
            found = _of_score(course)
        case "rows":
            found = _of_rows(course)
        case "none":
            found = None
    if found is None and course.updates >= PATIENCE and course.kind != "score":
        text = f"In {course.updates} updates nothing was measured that tells whether it helped"
        return Outcome(helped=None, measure=LOOKS.get(course.code, "training loss"), text=text)
    return found


def is_caused_by(course: Course, finding: Finding) -> bool:
    """Return whether `finding` names the cause of the fault that `course` is for."""
    incident = finding.evidence.get("incident")
    same = incident is not None and incident == course.finding.evidence.get("incident")
    known = course.code in finding.evidence.get("codes", ())  # ids come again after a rollback
    return same and known and finding.code == finding.evidence.get("cause") != course.code


def is_refuted_by(course: Course, finding: Finding) -> bool:
    """Return whether `finding` shows, before the time is up, that `course` does not help or does harm."""
    if finding.severity != "critical" or course.updates < FEW:
        return False
    if course.kind not in ("loss", "pace", "bad") or kind_of(finding.code) not in ("loss", "bad"):
        return False
    return finding.code == course.code or finding.step - course.updates <= onset(finding)


def refuted(course: Course, finding: Finding) -> Outcome:
    """Return the outcome of a course that `finding` refutes."""
    sick, _ = _losses_before(course)
    text = f"{course.updates} updates later {finding.code.replace('_', ' ')} was seen ({finding.summary.rstrip('.')})"
    return Outcome(
        helped=False,
        measure="training loss",
        before=median(sick) if sick else None,
        after=median(course.losses[-FEW:]) if course.losses else None,
        text=text,
        worse=True,
    )


def _of_loss(course: Course) -> Outcome | None:
    if course.updates < WAIT:
        return None
    after = course.losses[-JUDGED:]
    if len(after) < FEW:
        text = f"Of the {course.updates} updates since then only {len(after)} could be made"
        return Outcome(helped=False, measure="training loss", text=text, worse=True)
    sick, sound = _losses_before(course)
    now = median(after)
    was = median(sick) if sick else None
    usual = median(sound) if len(sound) >= FEW else None
    noise = max(spread(sound), spread(after)) / math.sqrt(len(after)) * 1.25 if usual is not None else 0.0
    aside = "" if usual is None else f" ({usual:.4g} before the fault)"
    z = rank_z(after, sick) if len(sick) >= FEW else 0.0
    is_back = usual is not None and now <= usual + SURE * noise
    helped = True if is_back or z <= -SURE else False if z >= -SURE / 2 and len(sick) >= FEW else None
    if helped is None and usual is not None and was is not None:
        helped = (usual + was) / 2 > now  # few sick losses: nearer to the sound ones than to these
    worse = z >= SURE and was is not None and now > 1.1 * was and not is_back
    course_of = "?" if was is None else f"{was:.4g}"
    text = f"The training loss went from {course_of} to {now:.4g}{aside}"
    return Outcome(helped=helped, measure="training loss", before=was, after=now, text=text, worse=worse)


def _of_pace(course: Course) -> Outcome | None:
    if course.updates < PACE_WAIT:
        return None
    earlier = [loss for _, loss in course.before.losses[-PACE_WAIT:]]
    was, now = _pace(earlier), _pace(course.losses)
    helped = now > FASTER * max(was, 0.0) and now > 0
    text = f"The training loss fell by {was:.2g} in {PACE_WAIT} updates before, and by {now:.2g} since"
    return Outcome(helped=helped, measure="fall of the training loss", before=was, after=now, text=text)


def _pace(losses: Sequence[float]) -> float:
    """Return by how much a window of losses fell from its first half to its second, times two: over all of it."""
    half = len(losses) // 2
    return 2 * (mean(losses[:half]) - mean(losses[half:])) if half else 0.0


def _losses_before(course: Course) -> tuple[list[float], list[float]]:
    """Return the losses while the fault was there, and those before it.

    After a rollback those of the same steps are taken, where there are enough: a loss falls by itself as time goes on.
    """
    began = onset(course.finding)
    sick = [(step, loss) for step, loss in course.before.losses if step >= began]
    first = course.position + course.updates - JUDGED
    paired = [loss for step, loss in sick if first < step <= course.position + course.updates]
    sound = [loss for step, loss in course.before.losses if step < began][-2 * JUDGED :]
    return (paired if len(paired) >= FEW else [loss for _, loss in sick][-2 * JUDGED :]), sound


def _of_bad_updates(course: Course) -> Outcome | None:
    if course.updates < WAIT:
        return None
    earlier = [bad for _, bad in course.before.bad[-WAIT:]]
    was, now = sum(earlier), course.bad
    text = f"Of {course.updates} updates {now} could not be made, where it had been {was} of {len(earlier)}"
    helped = True if now == 0 else False if now * max(1, len(earlier)) >= was * course.updates else None
    worse = now > course.updates // 2
    return Outcome(
        helped=helped, measure="updates that could not be made", before=was, after=now, text=text, worse=worse
    )


def _of_look(course: Course) -> Outcome | None:
    name = LOOKS[course.code]
    if name not in course.looks:
        return None
    was, now = course.before.looks.get(name), course.looks[name]
    if course.code == "vanishing_gradient":  # the one number here that should rise
        helped = None if was is None else now > max(3 * was, 1e-12)
    else:
        helped = now <= (USUAL_SHARE if course.code in _SHARES else GONE * (was if was else 1.0))
    text = f"{name[0].upper()}{name[1:]}: {'?' if was is None else f'{was:.4g}'} before, {now:.4g} now"
    return Outcome(helped=helped, measure=name, before=was, after=now, text=text)


def _of_score(course: Course) -> Outcome | None:
    if len(course.scores) < EVALUATIONS:
        return None
    metric, earlier = course.before.metric or "loss", course.before.scores
    if not earlier:
        return Outcome(helped=None, measure=metric, text=f"There was no {metric} before it to compare with")
    sign = -1.0 if is_falling(metric) else 1.0
    was, error = earlier[-1][1], earlier[-1][2]
    now = max((score for _, score, _ in course.scores), key=lambda score: sign * score)
    # Of a loss the noise of one evaluation is not known: 1 % is what repeated evaluations of small splits differ by.
    margin = max(SURE * math.sqrt(2) * error, 0.01 * abs(was) if is_falling(metric) else 0.0)
    gain = sign * (now - was)
    keeps_best = any(isinstance(one, Rollback) and one.keeps_best for one in course.applied)
    helped = True if gain > margin else False if gain < -margin and not keeps_best else None
    text = f"The validation {metric.replace('_', ' ')} went from {was:.4g} to {now:.4g}"
    text += "" if helped is not None else ", which may be chance"
    return Outcome(
        helped=helped, measure=f"validation {metric}", before=was, after=now, text=text, worse=helped is False
    )


def _of_rows(course: Course) -> Outcome | None:
    if course.updates < 1:
        return None
    rows = len(course.finding.rows)
    text = f"{rows:,} rows are left out; no score can tell what that is worth, since the old ones were made with them"
    return Outcome(helped=None, measure="rows left in", before=float(rows), after=0.0, text=text)

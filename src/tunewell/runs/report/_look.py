"""How a run stands at first sight: its state in a word and a sign, its incidents' titles, where its time went."""

from __future__ import annotations

import math

import msgspec

from tunewell.inspections import Tested
from tunewell.runs.curves import Curve, curve_of
from tunewell.runs.incidents import Incident
from tunewell.runs.report._facts import Facts
from tunewell.runs.story import named

_WORDS = {
    "completed": "completed",
    "stopped": "stopped",
    "interrupted": "interrupted",
    "failed": "failed",
    "unfinished": "not ended",
}
_AROUND = 40
"""Updates on both sides of an incident that its small picture shows."""


class Appearance(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a run: a sign, a word and a level (good, attention, bad, off) that colours both."""

    sign: str
    word: str
    level: str
    passed: list[Tested]
    failed: list[Tested]
    unmade: list[Tested]
    """Self-tests by their answer."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the run's time."""

    name: str
    seconds: float
    share: float


def appearance(facts: Facts) -> Appearance:
    """Return how the run stands at first sight."""
    status = facts.story.status
    open_ones = [one for one in facts.story.incidents if one.recovered is not True]
    if status == "failed":
        sign, level = "✖", "bad"
    elif status in {"unfinished", "interrupted"}:
        sign, level = "‖", "off"
    elif status == "stopped" or any(one.severity == "critical" for one in open_ones):
        sign, level = "✖" if status == "stopped" else "▲", "bad"
    elif open_ones:
        sign, level = "▲", "attention"
    else:
        sign, level = "✓", "good"
    word = _WORDS[status]
    if status == "unfinished" and facts.run.holder() is not None:
        sign, word = "●", "training now"
    if status == "completed" and open_ones:
        word = "completed, needs attention"
    return Appearance(
        sign=sign,
        word=word,
        level=level,
        passed=[test for test in facts.tests if test.passed],
        failed=[test for test in facts.tests if test.passed is False],
        unmade=[test for test in facts.tests if test.passed is None],
    )


def incident_title(incident: Incident) -> str:
    """Return the heading of an incident: what, and when."""
    title = named(incident).rstrip(",")
    span = f"step {incident.first_step:,}"
    if incident.last_step > incident.first_step:
        span = f"steps {incident.first_step:,} to {incident.last_step:,}"
    return f"{title[:1].upper()}{title[1:]} at {span}"


def evidence_curve(incident: Incident, facts: Facts) -> Curve:
    """Return the piece of curve that shows an incident: its own evidence, else the loss around it."""
    piece = incident.evidence.get("curve")
    if isinstance(piece, list | tuple) and len(piece) > 2:
        numbers = [float(value) for value in piece if isinstance(value, int | float)]
        return curve_of(enumerate(numbers))
    first, last = incident.onset - _AROUND, incident.last_step + _AROUND
    return curve_of(
        (place, step.loss)
        for place, step in enumerate(sorted([*facts.undone, *facts.steps], key=lambda step: step.cursor))
        if first <= step.step <= last and math.isfinite(step.loss)
    )


def spent(facts: Facts) -> list[Spent]:
    """Return where the run's time went, as far as the record tells; nothing for a run without updates."""
    updates = [*facts.steps, *facts.undone]
    if not updates:
        return []
    data = sum(step.data_seconds for step in updates)
    parts = {
        "training": sum(step.seconds for step in updates) - data,
        "waiting for data": data,
        "evaluation": sum(record.seconds for record in facts.evals),
        "saving": sum(record.seconds for record in facts.commits),
        "self-tests": sum(test.seconds for test in facts.tests),
        "looking through the data": facts.data_checked.seconds if facts.data_checked else 0.0,
    }
    whole = facts.ended.seconds if facts.ended is not None and facts.ended.seconds else facts.seconds
    parts["the rest"] = max(0.0, whole - sum(parts.values()))
    total = sum(parts.values()) or 1.0
    return [
        Spent(name=name, seconds=seconds, share=seconds / total)
        for name, seconds in parts.items()
        if seconds / total >= 0.005
    ]

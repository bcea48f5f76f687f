"""The story of a run, as `tunewell why RUN` tells it: what went wrong, what was done, whether it helped."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tunewell.records import Answered, Ended, Eval, Finding, Note, Proposed, Record, Rewound, Started, Step
from tunewell.runs.control import is_paused
from tunewell.runs.incidents import BlamedRow, Deed, Incident, incidents
from tunewell.runs.timeline import timeline
from tunewell.runs.wording import intended

_WIDTH = 100
_SHOWN_ROWS = 5
_OVER = {"completed", "stopped"}
_SHOWN_ITEMS = 8
_OUTCOMES = {
    "applied": "",
    "proposed": "",
    "approved": "",
    "declined": "",
    "dry_run": " (only shown: dry run)",
}
_NAMES = {"non_finite": "NaN or infinite values"}
"""Kinds of fault that read badly as they are spelled."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a run, as plain data."""

    run: str
    status: str
    """completed, stopped, interrupted, failed, or unfinished."""
    headline: str
    """The whole in one sentence."""
    scores: str
    """What came of it, in a sentence; empty when nothing was evaluated."""
    step: int
    total_steps: int
    incidents: list[Incident]
    other_deeds: list[Deed]
    """Actions that answer no incident, such as early stopping by the recipe."""
    questions: list[str] = []
    """What the run asks and nobody has answered, in a sentence each."""
    interruptions: list[str]
    """Each resume, in a sentence."""
    remarks: list[str]
    """Smaller things noticed: findings of severity ``info``, refused updates, damaged lines of the log."""
    checked: list[str]
    """Verdicts of monitors that looked and found all well."""
    unchecked: list[str]
    """What could not be checked, and why."""


def why(records: Sequence[Record]) -> Story:
    """Return the story of a run from its whole log.

    A `Note` of topic ``verdict`` says how far one kind of fault could be checked: with the words ``checked and
    fine`` it counts as checked, any other as unchecked.
    """
    log = list(records)
    line = timeline(log)
    started = next((record for record in log if isinstance(record, Started)), None)
    ended = next((record for record in reversed(line) if isinstance(record, Ended)), None)
    steps = [record for record in line if isinstance(record, Step)]
    found, others = incidents(log)
    verdicts = [record.text for record in log if isinstance(record, Note) and record.topic == "verdict"]
    verdicts = list(dict.fromkeys(verdicts))
    checked = [text for text in verdicts if "checked and fine" in text]
    unchecked = [text for text in verdicts if "checked and fine" not in text]
    run = started.run if started else "this run"
    step = ended.step if ended else (steps[-1].step if steps else 0)
    state = _state(run, ended, step, paused=is_paused(log))
    return Story(
        run=run,
        status=ended.status if ended else "unfinished",
        headline=(
            _headline(state, ended, found, checked=len(checked), unchecked=len(unchecked))
            if step or found
            else f"{run}: nothing was trained"
            + (f"; it {ended.status}: {ended.reason}." if ended else " yet.")
        ),
        scores=_scores(line, ended),
        step=step,
        total_steps=started.total_steps if started else 0,
        incidents=found,
        other_deeds=others,
        questions=_questions(log, run, over=ended is not None and ended.status in _OVER),
        interruptions=[_interruption(r) for r in log if isinstance(r, Rewound) and r.reason == "resume"],
        remarks=_remarks(log, found),
        checked=checked,
        unchecked=unchecked,
    )


def as_text(story: Story, rows: Callable[[int], str] | None = None) -> str:
    """Return `story` in plain words for a terminal, 100 columns wide.

    `rows` gives the text of a row by its id, so that the blamed rows are shown.
    """
    parts = [_wrapped(story.headline)]
    if story.scores:
        parts.append(_wrapped(story.scores))
    parts += [_incident_text(number, each, rows) for number, each in enumerate(story.incidents, start=1)]
    sections = {
        "What waits for an answer": story.questions,
        "Also done": [deed_in_words(deed) for deed in story.other_deeds],
        "Interruptions": story.interruptions,
        "Also noticed": story.remarks,
        "What could not be checked": story.unchecked,
        "Checked and fine": [text.replace(": checked and fine", "") for text in story.checked],
    }
    for title, items in sections.items():
        if items:
            parts.append("\n".join([title, *(_wrapped(item, "  - ", "    ") for item in items)]))
    return "\n\n".join(parts) + "\n"


def _headline(state: str, ended: Ended | None, found: list[Incident], *, checked: int, unchecked: int) -> str:
    if not found:
        return f"{state}{_all_well(ended, checked, unchecked)}"
    told = [_in_brief(incident) for incident in found[:3]]
    if len(found) > 3:
        told.append(f"{len(found) - 3} more")
    return f"{state} with {_counted(len(found), 'incident')}: {_joined_words(told)}."


def _state(run: str, ended: Ended | None, step: int, *, paused: bool) -> str:
    """Return where the run stands."""
    if ended is None:
        return (
            f"{run} stands paused at step {step:,}" if paused else f"{run} has not ended (last step {step:,})"
        )
    verb = {
        "completed": "completed",
        "stopped": "was stopped",
        "interrupted": "was interrupted",
        "failed": "failed",
    }
    state = f"{run} {verb[ended.status]} at step {step:,}"
    if ended.status in {"stopped", "failed"} and ended.reason:
        state += f" ({ended.reason.rstrip('.')})"
    return state


def _all_well(ended: Ended | None, checked: int, unchecked: int) -> str:
    """Return the end of the headline where no fault was seen: a run is healthy only as far as it was looked at."""
    if ended is None:
        return "; no fault was seen so far."
    if unchecked:
        kinds = f" in the {_counted(checked, 'kind')} that could be checked" if checked else ""
        return f"; no fault was seen{kinds}, but not everything could be checked."
    if not checked:
        return "; no fault was seen, but what could be checked is not known."
    if ended.status == "completed":
        return f" and is healthy: no fault was seen, and all {_counted(checked, 'kind')} could be checked."
    return "; no monitor saw a fault."


def _questions(log: Sequence[Record], run: str, *, over: bool) -> list[str]:
    """Return the proposals that nobody has answered; after the end there is nothing to answer."""
    answered = {record.id for record in log if isinstance(record, Answered)}
    waiting = [] if over else [r for r in log if isinstance(r, Proposed) and r.id not in answered]
    return [
        f"proposal {one.id}, since step {one.step:,}, because of {_named_kind(one.code)}: to "
        + " and to ".join(intended(action) for action in [one.action, *one.also])
        + f" (tunewell approve {run} {one.id} · tunewell decline {run} {one.id})"
        for one in waiting
    ]


def _in_brief(incident: Incident) -> str:
    became = {True: "training recovered", False: "training did not recover", None: ""}[incident.recovered]
    if not became and not any(deed.outcome == "applied" for deed in incident.deeds):
        became = "nothing was done about it"
    return f"{named(incident)} at step {incident.first_step:,}" + (f" ({became})" if became else "")


def _scores(line: Sequence[Record], ended: Ended | None) -> str:
    evals = [record for record in line if isinstance(record, Eval)]
    tests = [record for record in evals if record.split == "test"]
    split, seen = (
        ("test", tests) if len(tests) > 1 else ("validation", [e for e in evals if e.split == "validation"])
    )
    if not seen:
        return ""
    metric = ended.best_metric if ended and ended.best_metric else next(iter(seen[0].metrics), "loss")
    first, last = (each.metrics.get(metric, each.loss) for each in (seen[0], seen[-1]))
    name = _words(metric)
    if len(seen) == 1:
        return f"{split.capitalize()} {name}: {first:.4g} at step {seen[0].step:,}."
    text = f"{split.capitalize()} {name} went from {first:.4g} (step {seen[0].step:,}) to {last:.4g} (step {seen[-1].step:,})."
    if split == "validation" and ended and ended.best_value is not None:
        text += f" The best was {ended.best_value:.4g} at step {ended.best_step or 0:,}."
    return text


def _interruption(rewound: Rewound) -> str:
    text = f"Resumed from step {rewound.to_step:,} (checkpoint {rewound.commit})"
    if rewound.exact:
        return f"{text}, exactly."
    return f"{text}, approximately: {rewound.detail or 'the environment differs'}."


def _remarks(log: Sequence[Record], found: list[Incident]) -> list[str]:
    remarks = [
        f"Step {r.step:,}: {r.summary}" for r in log if isinstance(r, Finding) and r.severity == "info"
    ]
    refused = [r.step for r in log if isinstance(r, Step) and r.skipped]
    if refused:
        where = _joined_words([f"{step:,}" for step in refused[:_SHOWN_ITEMS]])
        more = "" if len(refused) <= _SHOWN_ITEMS else " and later"
        remarks.append(
            f"{_counted(len(refused), 'update')} refused because a loss or gradient was not a finite number, "
            f"so the weights stayed as they were (step {where}{more})."
        )
    return remarks + [r.text for r in log if isinstance(r, Note) and r.topic == "damage"]


def _incident_text(number: int, incident: Incident, rows: Callable[[int], str] | None) -> str:
    span = f"step {incident.first_step:,}"
    if incident.last_step > incident.first_step:
        span = f"steps {incident.first_step:,} to {incident.last_step:,}"
    title = named(incident)
    times = "" if incident.times == 1 else f", seen {incident.times} times"
    lines = [f"{number}. {title[0].upper()}{title[1:]} at {span} ({incident.severity}{times})"]
    lines += _block("What was seen", incident.seen)
    lines += _block("What it means", [incident.meaning] if incident.meaning else [])
    lines += _block(
        "Evidence", [f"{_words(key)}: {value_in_words(value)}" for key, value in incident.evidence.items()]
    )
    lines += _block("Rows to blame", _row_lines(incident, rows))
    lines += _block("Likely causes", incident.causes)
    lines += _block("What was done", [deed_in_words(deed) for deed in incident.deeds] or ["nothing"])
    lines += _block("Afterwards", [incident.aftermath] if incident.aftermath else [])
    lines += _block("Advice", incident.advice)
    return "\n".join(lines)


def _block(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    if len(items) == 1:
        return [_wrapped(items[0], f"   {title:<15}", " " * 18)]
    head = [_wrapped(items[0], f"   {title:<15}- ", " " * 20)]
    return head + [_wrapped(item, " " * 18 + "- ", " " * 20) for item in items[1:]]


def _row_lines(incident: Incident, rows: Callable[[int], str] | None) -> list[str]:
    shown = [row_in_words(one, rows) for one in incident.blamed[:_SHOWN_ROWS]]
    left = incident.rows[len(shown) :]
    if left:
        shown.append(f"and {len(left):,} more: {value_in_words([f'{row:,}' for row in left])}")
    return shown


def row_in_words(blamed: BlamedRow, rows: Callable[[int], str] | None) -> str:
    """Return what a row did, and the row itself where `rows` can read it."""
    line = f"row {blamed.row:,}"
    if blamed.step is not None and blamed.share is not None:
        line += f" made {blamed.share:.0%} of step {blamed.step:,}'s loss"
    elif blamed.step is not None:
        loss = blamed.loss if blamed.loss is not None else math.nan
        infinite = "a loss that is not a number" if math.isnan(loss) else "an infinite loss"
        line += f" had {f'a loss of {loss:.4g}' if math.isfinite(loss) else infinite} at step {blamed.step:,}"
    return line if rows is None else f"{line}: {textwrap.shorten(_plain(rows(blamed.row)), 400)}"


def deed_in_words(deed: Deed) -> str:
    """Return what was done, by whom, why, and what came of it."""
    outcome = _OUTCOMES.get(deed.outcome, f" ({deed.outcome})")
    detail = f": {deed.detail}" if deed.detail else ""
    reason = deed.reason.rstrip(".") if " " in deed.reason else _words(deed.reason)
    reason = f"; reason: {reason}" if reason else ""
    by = "the recipe" if deed.by == "recipe" else deed.by
    effect = f". {deed.effect[0].upper()}{deed.effect[1:]}" if deed.effect else ""
    return f"step {deed.step:,}: {by} {deed.what}{outcome}{detail}{reason}{effect}"


def value_in_words(value: Any) -> str:
    """Return a piece of evidence as people read it; long lists end with how many more there are."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        value = [f"{key} {value_in_words(item)}" for key, item in value.items()]
    if isinstance(value, list | tuple):
        shown = ", ".join(value_in_words(item) for item in value[:_SHOWN_ITEMS])
        return shown if len(value) <= _SHOWN_ITEMS else f"{shown} and {len(value) - _SHOWN_ITEMS:,} more"
    return str(value)


def _wrapped(text: str, first: str = "", later: str = "") -> str:
    text = _plain(text)
    return textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def _plain(text: str) -> str:
    """Return `text` without characters that a terminal would obey: rows and labels are other people's words."""
    return "".join(char if char.isprintable() else " " for char in text)


def named(incident: Incident) -> str:
    """Return the fault at the root of an incident, then what it brought about."""
    cause, *symptoms = (_named_kind(code) for code in incident.codes)
    return f"{cause}, with {_joined_words(symptoms)}," if symptoms else cause


def _named_kind(code: str) -> str:
    return _NAMES.get(code, _words(code))


def _words(code: str) -> str:
    return code.replace("_", " ")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _joined_words(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"

"""What a log shows, told as the story of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import msgspec

from tunewell.data.spelling import printable
from tunewell.records import Note, Record
from tunewell.runs import story
from tunewell.runs.story import Story

_WIDTH = 100


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong in a run, from its log alone."""

    story: Story
    read: list[str]
    """How the log was read: which column was taken for what, guesses, what was left out."""


def told(records: Sequence[Record]) -> Diagnosis:
    """Return the story of the records that `diagnosed` gives."""
    found = story.why(records)
    unended = f"{found.run} has not ended (last step {found.step:,})"
    if found.headline.startswith(unended):  # or it has: most logs don't say
        headline = f"{found.run} ends at step {found.step:,}{found.headline.removeprefix(unended)}"
        found = msgspec.structs.replace(found, headline=headline)
    read = [record.text for record in records if isinstance(record, Note) and record.topic == "source"]
    return Diagnosis(story=found, read=list(dict.fromkeys(read)))


def as_text(diagnosis: Diagnosis) -> str:
    """Return it in plain words for a terminal."""
    notes = [
        textwrap.fill(note, _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
        for note in map(printable, diagnosis.read)
    ]
    return "\n".join([story.as_text(diagnosis.story), "How the log was read", *notes, ""])

"""`tunewell why`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewell.cli._options import AsJson, RunName

if TYPE_CHECKING:
    from tunewell.records import Record
    from tunewell.runs.folder import RunFolder


def why(run: RunName, /, *, as_json: AsJson = False) -> None:
    """Tell what went wrong in a run, the evidence, what was done and whether it helped.

    Example: tunewell why runs/movie_reviews
    """
    import sys

    import msgspec

    from tunewell.cli._where import ROOT
    from tunewell.data.shown_rows import row_texts
    from tunewell.runs import log, story
    from tunewell.runs.folder import find

    folder = find(run, ROOT)
    records = list(log.read(folder.log))
    told = story.why(records)
    if as_json:
        print(msgspec.json.encode(told).decode())
    else:
        rows = row_texts(folder) if any(incident.rows for incident in told.incidents) else None
        sys.stdout.write(story.as_text(told, rows) + _of_people(folder, records))


def _of_people(folder: RunFolder, records: list[Record]) -> str:
    """Return what people call the run and what they wait for, in lines; nothing where there is neither."""
    from tunewell.data.spelling import printable
    from tunewell.runs import inbox
    from tunewell.runs.requests import requests

    asked = inbox.read_all(folder)
    label = inbox.label(asked)
    waiting = [one for one in requests(records, asked) if one.state in ("requested", "accepted")]
    parts = {
        "Tags": [", ".join(label.tags)] if label.tags else [],
        "Note": [label.note] if label.note else [],
        "What was asked and is not answered yet": [f"{one.by}: to {one.what}" for one in waiting],
    }
    return "".join(
        "\n".join(["", title, *(f"  - {printable(item)}" for item in items), ""])
        for title, items in parts.items()
        if items
    )

"""`tunewell why`."""

from __future__ import annotations

from tunewell.cli._options import AsJson, RunName


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
    told = story.why(list(log.read(folder.log)))
    if as_json:
        print(msgspec.json.encode(told).decode())
    else:
        rows = row_texts(folder) if any(incident.rows for incident in told.incidents) else None
        sys.stdout.write(story.as_text(told, rows))

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
    from tunewell.runs import log, story
    from tunewell.runs.folder import find

    told = story.why(list(log.read(find(run, ROOT).log)))
    if as_json:
        print(msgspec.json.encode(told).decode())
    else:
        sys.stdout.write(story.as_text(told))

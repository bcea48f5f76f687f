"""`tunewell resume`."""

from __future__ import annotations

from tunewell.cli._options import AsJson, RunName


def resume(run: RunName, /, *, as_json: AsJson = False) -> int:
    """Go on with a run that was interrupted, from its newest checkpoint that verifies.

    Example: tunewell resume runs/movie_reviews
    """
    from tunewell.cli._watch import watch
    from tunewell.cli._where import ROOT
    from tunewell.runs import log
    from tunewell.runs.folder import find

    folder = find(run, ROOT)
    history = list(log.read(folder.log)) if folder.log.is_file() else []
    from tunewell.training import driver  # after the run is known to be there: it takes seconds

    return watch(driver.resume(folder.path), folder.path, as_json=as_json, history=history)

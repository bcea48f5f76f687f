"""`tunewell resume`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson, RunName

AllowChanges = Annotated[bool, Parameter(help="Go on although the data or the recipe is not what it was.")]


def resume(run: RunName, /, *, allow_changes: AllowChanges = False, as_json: AsJson = False) -> int:
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

    return watch(
        driver.resume(folder.path, allow_changes=allow_changes), folder.path, as_json=as_json, history=history
    )

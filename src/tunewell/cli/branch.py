"""`tunewell branch`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson, Overrides


def branch(
    point: Annotated[
        str, Parameter(help="RUN@STEP, where a checkpoint is; or RUN@best, RUN@last.", name="run")
    ],
    /,
    *,
    overrides: Overrides = None,
    name: Annotated[
        str | None, Parameter(help="Name of the new run; its parent's with a number otherwise.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Begin a new run from an old point of another, with some settings changed.

    Example: tunewell branch movie_reviews@400 --set learning_rate=2e-5

    Weights, optimizer, step and position in the data go on from there; the parent stays as it is.
    """
    from tunewell.cli._watch import watch
    from tunewell.cli._where import ROOT
    from tunewell.runs.folder import next_free
    from tunewell.runs.point import find_point

    parent, commit = find_point(point, ROOT)
    name = name or next_free(ROOT, parent.name).name
    from tunewell.training import driver  # after the point is known to be there: it takes seconds

    records = driver.branch(f"{parent.path}@{commit.folder.name}", overrides or (), name=name, root=ROOT)
    return watch(records, ROOT / name, as_json=as_json)

"""`tunewell report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import RunName


def report(
    run: RunName,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="File to write; report.html in the run's folder otherwise.")
    ] = None,
) -> None:
    """Write the report of a run: one page for a browser or paper, readable anywhere, offline.

    Each run leaves one at its end; this makes it again, or of a run that still trains. Prints where it is.

    Example: tunewell report runs/movie_reviews --out movie_reviews.html
    """
    from tunewell.cli._where import ROOT
    from tunewell.data.shown_rows import row_texts
    from tunewell.runs import log
    from tunewell.runs import report as reports
    from tunewell.runs.folder import find
    from tunewell.runs.story import why

    folder = find(run, ROOT)
    blamed = any(incident.rows for incident in why(list(log.read(folder.log))).incidents)
    print(reports.write(folder, out, row_texts(folder) if blamed else None))

"""`tunewell review`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson, RunName


def review(
    run: RunName,
    /,
    *,
    rows: Annotated[int, Parameter(help="Rows to show; all of them stand in the run's review.csv.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the training rows whose label is probably wrong, surest first.

    Example: tunewell review runs/movie_reviews
    """
    import csv
    import json

    from tunewell.cli._where import ROOT
    from tunewell.data.spelling import printable, shortened
    from tunewell.problems import Problem, RunError
    from tunewell.runs.folder import find

    path = find(run, ROOT).path / "review.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
    except FileNotFoundError as error:
        fix = "rows are reviewed after 1, 2, 4, 8 … epochs of a classification or regression"
        raise RunError(
            Problem("run", "no row's label is suspected in this run", str(path), fix=fix)
        ) from error
    if as_json:
        print(json.dumps(found[:rows], ensure_ascii=False))
        return
    for row in found[:rows]:
        about = (
            f"{float(row['confidence']):.0%}  {row['place']}  `{row['given']}`, rather `{row['suggested']}`"
        )
        print(printable(f"{about}  {shortened(row['text'])}"))
    if len(found) > rows:
        print(f"and {len(found) - rows:,} more in {path}")

"""`tunewell evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tunewell.cli._options import AsJson, SkipBad


def evaluate(
    run: Annotated[str, Parameter(help="Name or folder of a run, or the folder of a model.")],
    data: Annotated[
        Path | None, Parameter(help="Labelled file; the run's own test rows when absent.")
    ] = None,
    /,
    *,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Score a fine-tuned model on labelled rows.

    Example: tunewell evaluate runs/movie_reviews more_reviews.csv
    """
    from tunewell.cli._progress import scores
    from tunewell.records import encode
    from tunewell.training import driver

    result = driver.evaluate(run, data, skip_bad=skip_bad)
    if as_json:
        print(encode(result).decode().rstrip())
    else:
        print(f"{result.split}: {scores(result)} on {result.rows:,} rows")

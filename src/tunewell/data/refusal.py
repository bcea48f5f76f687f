"""Bad rows or files into one error: in the order of their places, up to 20 told, the rest counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from tunewell.data.table import BadRow
from tunewell.problems import DataError, Problem

MOST_PROBLEMS = 20
"""Problems that one error lists."""
WAY_OUT = "or go on without the bad rows: --skip-bad (in a recipe data.skip_bad: true)"


def refuse_bad(bad: Sequence[BadRow], *, way_out: str = WAY_OUT) -> None:
    """Raise a `DataError` that tells `bad`, if there are any; its last fix says how to go on without them."""
    if not bad:
        return
    files = {file: number for number, file in enumerate(dict.fromkeys(row.problem.file for row in bad))}
    problems = sorted((row.problem for row in bad), key=lambda p: (files[p.file], p.line or 0))
    if len(problems) > MOST_PROBLEMS:
        counts = Counter(row.reason for row in bad).most_common()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
        what = f"{len(problems) - MOST_PROBLEMS + 1:,} more of them; in all: {reasons}"
        field = "data.skip_bad" if way_out == WAY_OUT else ""
        problems = [*problems[: MOST_PROBLEMS - 1], Problem("data", what, field=field)]
    if way_out:
        last = problems[-1]
        fix = f"{last.fix}; {way_out}" if last.fix else way_out
        problems[-1] = dataclasses.replace(last, fix=fix)
    raise DataError(problems)

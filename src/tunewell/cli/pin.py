"""`tunewell pin`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Point = Annotated[
    str,
    Parameter(help="A run's checkpoint: RUN@500, RUN@best or RUN@last; a RUN alone lists its checkpoints."),
]
Remove = Annotated[bool, Parameter(help="Take the pin away.")]


def pin(point: Point, /, *, remove: Remove = False) -> None:
    """Keep a checkpoint for good, or list those of a run and which are pinned.

    Example: tunewell pin movie_reviews@500
    """
    from tunewell.cli._terminal import aligned, next_command, say
    from tunewell.cli._where import ROOT
    from tunewell.runs import checkpoints
    from tunewell.runs.point import find_point

    run, commit = find_point(point, ROOT)
    if "@" not in point:
        rows = [
            (each.folder.name, "pinned" if each.pinned else "")
            for each in checkpoints.commits(run.checkpoints)
        ]
        for line in aligned(rows):
            print(line)
        next_command(f"tunewell pin {run.name}@{commit.step}")
    elif remove:
        checkpoints.unpin(commit)
        say(f"Checkpoint {commit.folder.name} of {run.name} is not pinned: newer ones may take its place.")
    else:
        checkpoints.pin(commit)
        say(f"Checkpoint {commit.folder.name} of {run.name} is pinned: it is never deleted.")

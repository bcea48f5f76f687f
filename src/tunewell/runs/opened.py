"""A run from Python: its record as tables, its story, and what a notebook shows of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewell.problems import Problem, RunError
from tunewell.records import Ended, Record
from tunewell.runs import log as logs
from tunewell.runs import report
from tunewell.runs.folder import RunFolder
from tunewell.runs.incidents import Incident
from tunewell.runs.report import inline
from tunewell.runs.story import Story, as_text, why
from tunewell.runs.tables import Kind, table

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run as it stands in its folder; what is read is read anew each time it grew.

    In a notebook it shows itself: state, scores, curve and incidents.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._read_at = (-1, -1)
        self._records: list[Record] = []

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def records(self) -> list[Record]:
        """All records of the log, in order, with what was undone."""
        if self.folder.log.exists():
            about = self.folder.log.stat()
            if (about.st_ino, about.st_size) != self._read_at:
                self._records, self._read_at = list(logs.read(self.folder.log)), (about.st_ino, about.st_size)
        return self._records

    @property
    def story(self) -> Story:
        """What happened, as plain data; `print(run.why())` shows it in words."""
        return why(self.records)

    @property
    def incidents(self) -> list[Incident]:
        """What went wrong, each with evidence, causes, what was done and whether it helped."""
        return self.story.incidents

    @property
    def status(self) -> str:
        """``training``, ``completed``, ``stopped``, ``interrupted``, ``failed`` or ``unfinished``."""
        status = self.story.status
        return "training" if status == "unfinished" and self.is_training else status

    @property
    def is_training(self) -> bool:
        """Whether a process trains it now."""
        return self.folder.holder() is not None

    def why(self) -> str:
        """Return in plain words what went wrong, as `tunewell why` tells it."""
        return as_text(self.story)

    def table(self, kind: Kind = "steps", *, undone: bool = False) -> dict[str, list[Any]]:
        """Return the columns of ``steps``, ``evals`` or ``events``; see `tunewell.runs.tables.table`."""
        return table(self.records, kind, undone=undone)

    def to_pandas(self, kind: Kind = "steps", *, undone: bool = False) -> pd.DataFrame:
        """Return one table as a pandas frame: ``steps`` (one row an update), ``evals`` or ``events``.

        Raises `RunError` where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            fix = "pip install 'tunewell[pandas]', or use table()"
            raise RunError(Problem("run", "this needs the package `pandas`", fix=fix)) from error
        return pd.DataFrame(self.table(kind, undone=undone))

    def evals(self) -> pd.DataFrame:
        """Return the evaluations as a pandas frame, a column for each metric."""
        return self.to_pandas("evals")

    def report(self, out: str | Path | None = None) -> Path:
        """Write the report as one HTML page and return where it is; ``report.html`` in the run's folder when None."""
        return report.write(self.folder, None if out is None else Path(out))

    def watch(self, seconds: float = 2.0) -> None:
        """Show the run in a notebook and draw it anew whenever it grew, until it ends or the cell is stopped.

        `seconds` between two looks. Outside a notebook it prints a line instead.
        """
        show = _shower()
        last: tuple[int, int] = (-1, -1)
        try:
            while True:
                over = not self.is_training
                _ = self.records
                if self._read_at != last:
                    last = self._read_at
                    show(self)
                if over or any(isinstance(record, Ended) for record in self.records[-1:]):
                    return
                time.sleep(seconds)
        except KeyboardInterrupt:
            return

    def __repr__(self) -> str:
        story = self.story
        return f"<Run {self.name}: {story.headline}>"

    def _repr_html_(self) -> str:
        return inline(self.folder, self.records)


def _shower() -> Callable[[Run], None]:
    """Return what shows a run again and again in the same place, as far as there is one."""
    try:
        from IPython.display import display
    except ImportError:
        return lambda run: print(repr(run))
    shown = display(display_id=True)
    if shown is None:  # IPython is there, but no notebook
        return lambda run: print(repr(run))

    def update(run: Run) -> None:
        shown.update(run)

    return update

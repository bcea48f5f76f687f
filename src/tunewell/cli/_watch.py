"""A run watched to its end: live lines in a terminal, plain lines elsewhere, or JSON; then what came of it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tunewell.cli._codes import DONE, FAILED, HUNG_UP, INTERRUPTED, STOPPED, TERMINATED
from tunewell.cli._errors import tell_broken
from tunewell.cli._plain import Plain
from tunewell.cli._progress import Progress
from tunewell.cli._terminal import next_command
from tunewell.problems import InputError
from tunewell.records import Ended, Record, encode


class View(AbstractContextManager["View"], Protocol):
    """Shows records; knows the progress, which has taken each record before it is shown."""

    def show(self, record: Record) -> None:
        """Show what `record` brings."""


def watch(records: Iterable[Record], run: Path, *, as_json: bool, history: Iterable[Record] = ()) -> int:
    """Show `records` as they come, then what came of the run in the folder `run`; return the exit code.

    `history` are the records of the same run from before.
    """
    progress = Progress()
    for record in history:
        progress.take(record, 0.0)
    progress.ended = progress.step = None
    is_begun = False
    try:
        with _view(progress, as_json) as view:
            for record in records:
                is_begun = True
                progress.take(record, time.monotonic())
                try:
                    view.show(record)
                except OSError:  # the terminal, or a reader such as `head`, has gone: training goes on unseen
                    _mute()
    except InputError as error:
        if not is_begun:
            raise
        tell_broken(error, run)
        return FAILED
    ended = progress.ended
    if not as_json:
        from tunewell.cli._result import tell_result

        tell_result(run)
    elif ended is None or ended.status in {"interrupted", "failed"}:
        next_command(f"tunewell resume {shlex.quote(str(run))}")
    return exit_code(ended)


def _mute() -> None:
    """Send what is told from now on nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def exit_code(ended: Ended | None) -> int:
    """Return the exit code that tells how a run ended; None: it never said."""
    if ended is None or ended.status == "failed":
        return FAILED
    if ended.status == "interrupted":
        return {"SIGTERM": TERMINATED, "SIGHUP": HUNG_UP}.get(ended.reason, INTERRUPTED)
    return STOPPED if ended.status == "stopped" else DONE


def _view(progress: Progress, as_json: bool) -> View:
    if as_json:
        return Lines()
    if sys.stderr.isatty():
        from tunewell.cli._live import Live

        return Live(progress)
    return Plain(progress)


class Lines:
    """Prints each record as a line of JSON on stdout. When the reader goes away, training goes on unseen."""

    def __init__(self) -> None:
        self._is_read = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""

    def show(self, record: Record) -> None:
        """Print `record`."""
        if not self._is_read:
            return
        try:
            sys.stdout.write(encode(record).decode())
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_read = False

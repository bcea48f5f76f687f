"""The record of a watched run, in memory and, where asked, in a run's folder that `tunewell why` reads."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from tunewell.monitors import Watch
from tunewell.problems import RunError
from tunewell.records import Finding, Note, Record
from tunewell.runs import folder as folders
from tunewell.runs import report
from tunewell.runs.disk import in_words
from tunewell.runs.folder import RunFolder
from tunewell.runs.log import LogWriter

_LOGGER = logging.getLogger("tunewell")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


class Journal:
    """Where every record goes: into the list `records`, to the monitors, to the log on disk.

    Findings are told to the logger ``tunewell`` too, so that a plain script shows them. A disk that refuses ends no
    training: the records stay in memory until it takes them, and a `Note` says so.
    """

    def __init__(self, watch: Watch, root: Path | None, name: str) -> None:
        self.watch = watch
        self.records: list[Record] = []
        self.folder: Path | None = None
        self.log: Path | None = None
        self._log: LogWriter | None = None
        self._refused = False
        self._held = ExitStack()
        self.name = name
        if root is not None:
            path = _made(root, name)
            run = RunFolder(path)
            self._held.enter_context(run.hold())
            self._log = LogWriter(run.log)
            self.folder, self.name, self.log = path, path.name, run.log

    def write(self, record: Record) -> list[Finding]:
        """Add `record`; return the findings that it gave rise to, which are added behind it."""
        self._append(record)
        findings = [
            msgspec.structs.replace(finding, time=time.time()) for finding in self.watch.observe(record)
        ]
        for finding in findings:
            self._append(finding)
            advice = f" {finding.advice[0]}." if finding.advice else ""
            _LOGGER.log(_LEVELS[finding.severity], "step %d: %s%s", finding.step, finding.summary, advice)
        return findings

    def flush(self) -> None:
        """Let whoever reads the log see all that is in it; what the disk refuses stays in memory."""
        if self._log is not None:
            with suppress(RunError):
                self._log.flush()

    def close(self) -> None:
        """Write what is left to the disk and let the folder go."""
        log, self._log = self._log, None
        with self._held:
            if log is not None:
                try:
                    log.close()
                except RunError as error:
                    _LOGGER.warning("%s", error)
                self._report()

    def _report(self) -> None:
        """Leave the report of the run beside its log; whatever hinders it is told and ends nothing."""
        assert self.folder is not None
        try:
            report.write(RunFolder(self.folder))
        except Exception as error:
            _LOGGER.warning("report.html could not be written: %s (tunewell report %s)", error, self.name)

    def _append(self, record: Record) -> None:
        self.records.append(record)
        if self._log is None:
            return
        try:
            self._log.append(record)
        except RunError as error:  # it stays in memory, and is written as soon as the disk takes it
            if not self._refused:
                self._refused = True
                text = f"the log can't be written: {error.problems[0].message}"
                self._append(Note(time=time.time(), step=record_step(record), text=text, topic="disk"))
                _LOGGER.warning("%s", text)


def _made(root: Path, name: str) -> Path:
    """Make a folder that nobody has and return it, even where several processes begin at once."""
    while True:
        path = folders.next_free(root, name)
        with in_words("make the run's folder", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.mkdir()
            except FileExistsError:  # another was quicker
                continue
        return path


def record_step(record: Record) -> int:
    """Return the step of `record`; the beginning has none."""
    return getattr(record, "step", 0)

"""All runs of a folder as rows of a table: read once, then only those that changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tunewell.problems import RunError
from tunewell.records import Eval
from tunewell.runs import control
from tunewell.runs.folder import RunFolder
from tunewell.runs.health import health
from tunewell.runs.inbox import Label, label, read_all
from tunewell.runs.live import LiveLog
from tunewell.runs.summary import Summary, end_of, list_runs, open_incidents, stored, summarize
from tunewell.web.root import Root

if TYPE_CHECKING:
    from tunewell.runs.incidents import Incident

Sort = Literal["started", "updated", "name", "status", "step", "loss", "metric", "seconds", "test"]
_MOST_LIVELY = 50
_LOGS_BYTES = 64 << 20
_Followed = tuple[LiveLog, tuple[int, int], dict[str, int] | None]
"""A log, how much of its story was known, and what was open then."""
_ALIVE = {"running", "paused"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the list."""

    id: str
    name: str
    status: str
    reason: str
    words: str
    level: str
    started: float
    updated: float
    seconds: float
    step: int
    total_steps: int
    epoch: float
    loss: float | None
    metric: dict[str, Any] | None
    """Best validation score: name, value, step."""
    test: dict[str, Any] | None
    findings: dict[str, int]
    actions: int
    tags: list[str]
    note: str


def row(
    run_id: str,
    summary: Summary,
    named: Label,
    incidents: list[Incident] | None = None,
    *,
    paused: bool = False,
) -> Row:
    """Return the row of one run."""
    told = health(summary, incidents, paused=paused)
    found = summary.findings
    return Row(
        id=run_id,
        name=summary.name,
        status="paused" if paused and summary.status == "running" else summary.status,
        reason=summary.reason,
        words=told.words,
        level=told.level,
        started=summary.started,
        updated=summary.updated,
        seconds=summary.seconds,
        step=summary.step,
        total_steps=summary.total_steps,
        epoch=summary.epoch,
        loss=summary.loss,
        metric=_score(summary.best_eval),
        test=_score(summary.test_after),
        findings={kind: found.get(kind, 0) for kind in ("info", "warning", "critical")},
        actions=summary.actions,
        tags=named.tags or [],
        note=named.note or "",
    )


def label_of(run: RunFolder) -> Label:
    """Return the tags and the note of a run."""
    return label(read_all(run)) if os.path.exists(f"{run.path}/inbox.jsonl") else Label(tags=[], note="")


class Listing:
    """The rows of all runs in a folder; its methods may be called from several threads."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._rows: dict[str, Row] = {}
        self._stamps: dict[str, int] = {}
        self._lock = threading.Lock()
        self._is_read = False
        self.version = 0
        self._touched: dict[str, float] = {}
        self._logs: dict[str, _Followed] = {}

    def rows(self) -> list[Row]:
        """Return all rows, the run that began last first; reads the folder where that has not been done."""
        with self._lock:
            if not self._is_read:
                self._read_all()
            else:
                self._look_again()
            return sorted(self._rows.values(), key=lambda one: (-one.started, one.name))

    def since(self, version: int) -> tuple[list[Row], int]:
        """Return the rows that changed after `version`, and the version now."""
        with self._lock:
            return [
                self._rows[name] for name, at in self._stamps.items() if at > version and name in self._rows
            ], self.version

    def gone_since(self, version: int) -> list[str]:
        """Return the ids of runs that were removed after `version`."""
        with self._lock:
            return [
                self._root.id_of(name)
                for name, at in self._stamps.items()
                if at > version and name not in self._rows
            ]

    def update(self, names: Collection[str]) -> bool:
        """Read the runs called `names` again (an empty name: see which are there); return whether any row changed."""
        with self._lock:
            if not self._is_read:
                return False
            changed = self._look_again() if "" in names else False
            for name in names:
                if name:
                    changed |= self._read(name)
            return changed

    def lively(self) -> list[Path]:
        """Return the folders that most likely change: of runs that train, of the newest, of what may become a run."""
        with self._lock:
            newest = sorted(
                self._rows.values(), key=lambda one: (one.status in _ALIVE, one.updated), reverse=True
            )
            young = [name for name in self._touched if name not in self._rows]
            return [self._root.path / name for name in (young + [one.name for one in newest])[:_MOST_LIVELY]]

    def silent(self, seconds: float) -> set[str]:
        """Return the running runs of which nothing was read for `seconds`."""
        now = time.monotonic()
        with self._lock:
            running = [one.name for one in self._rows.values() if one.status in _ALIVE]
            return {name for name in running if now - self._touched.get(name, 0.0) > seconds}

    def _read_all(self) -> None:
        self._is_read = True
        for summary in list_runs(self._root.path):
            name = os.path.basename(summary.path)
            self._put(name, self._with_incidents(RunFolder(self._root.path / name), summary))

    def _look_again(self) -> bool:
        """Read folders that were not there before, and forget those that are gone."""
        present = set(self._root.names())
        changed = False
        for name in [name for name in self._rows if name not in present]:
            del self._rows[name]
            self.version += 1
            self._stamps[name] = self.version
            changed = True
        for name in present - set(self._rows):
            changed |= self._read(name)
        return changed

    def _read(self, name: str) -> bool:
        self._touched[name] = time.monotonic()
        run = RunFolder(self._root.path / name)
        try:
            if not run.exists():
                return False
            summary = stored(run) or self._with_incidents(run, summarize(run.path, quick=True))
        except (RunError, OSError):
            return False
        return self._put(name, summary)

    def _with_incidents(self, run: RunFolder, summary: Summary) -> Summary:
        """Return `summary` with what is still open of a run that trains, as its own page tells it; the list stays quick."""
        name = run.path.name
        trouble = summary.findings.get("warning", 0) + summary.findings.get("critical", 0)
        if summary.status not in _ALIVE or summary.open_incidents is not None or not trouble:
            self._logs.pop(name, None)
            return summary
        begun: _Followed = (LiveLog(run.log), (0, 0), None)
        log, known, found = self._logs.pop(name, begun)
        try:
            self._root.check(run)
            log.advance()
        except (LookupError, OSError):
            return summary
        now = (log.read_anew, len(log.records))
        if found is None or now != known:  # as on its page: between two updates nothing else is told
            found = open_incidents(run, log)
        self._logs[name] = (log, now, found)
        while (
            len(self._logs) > 1 and sum(one.columns.bytes for one, _, _ in self._logs.values()) > _LOGS_BYTES
        ):
            del self._logs[next(iter(self._logs))]
        return msgspec.structs.replace(summary, open_incidents=found)

    def _put(self, name: str, summary: Summary) -> bool:
        run = RunFolder(self._root.path / name)
        try:
            self._root.check(run)
        except LookupError:  # a link that leads elsewhere is nobody's run here
            return False
        summary = msgspec.structs.replace(summary, name=name)  # not that of the folder a link leads to
        found = row(self._root.id_of(name), summary, label_of(run), paused=is_paused(run, summary))
        if self._rows.get(name) == found:
            return False
        self._rows[name] = found
        self._touched[name] = time.monotonic()
        self.version += 1
        self._stamps[name] = self.version
        return True


def is_paused(run: RunFolder, summary: Summary) -> bool:
    """Whether the end of a run's log says that it waits."""
    if summary.status != "running":
        return False
    return control.is_paused(end_of(run))


def _score(one: Eval | None) -> dict[str, Any] | None:
    if one is None:
        return None
    name = next(iter(one.metrics), "loss")
    return {"name": name, "value": one.metrics.get(name, one.loss), "step": one.step}


def matching(rows: list[Row], search: str) -> list[Row]:
    """Return the rows in whose name, status, tags or note all words of `search` stand."""
    words = search.lower().split()[:20]
    if not words:
        return rows
    found = []
    for one in rows:
        text = " ".join([one.name, one.status, one.words, *one.tags, one.note]).lower()
        if all(word in text for word in words):
            found.append(one)
    return found


def in_order(rows: list[Row], sort: Sort, *, descending: bool) -> list[Row]:
    """Return `rows` sorted; runs that lack the value come last either way."""

    def value(one: Row) -> Any:
        match sort:
            case "metric":
                return one.metric["value"] if one.metric else None
            case "test":
                return one.test["value"] if one.test else None
            case "name":
                return one.name.lower()
            case _:
                return getattr(one, sort)

    present = [one for one in rows if value(one) is not None]
    absent = [one for one in rows if value(one) is None]
    return sorted(present, key=value, reverse=descending) + absent

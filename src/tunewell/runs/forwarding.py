"""A run's records passed on to other tools while it trains: each tool in a thread of its own that training never waits for.

What a tool can't take in time is dropped and counted, what fails is told once; neither reaches the training. All of it
stays in the run's own record.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tunewell.inspections import Inspected
from tunewell.records import Acted, Ended, Eval, Finding, Record, Rewound, Severity, Step
from tunewell.runs.wording import describe, intended

_WAITING = 20_000
"""Records that may wait for one tool; beyond that they are dropped, and the count is told."""
_GATHER_SECONDS = 0.5
"""So long records are gathered before a tool gets them together: most tools cost milliseconds a call."""
_MOST_AT_ONCE = 1_000
_FAILURES = 3
"""After so many failures in a row a tool gets nothing more in this process."""
_LOGGER = logging.getLogger("tunewell")


class Point(msgspec.Struct, frozen=True):
    """Numbers at a step, named as such tools are used to: ``train/loss``, ``eval/validation/accuracy``."""

    step: int
    time: float
    values: dict[str, float]


class Message(msgspec.Struct, frozen=True):
    """Something for people: a finding, or what was done."""

    step: int
    time: float
    level: Severity
    title: str
    text: str


class Back(msgspec.Struct, frozen=True):
    """Training went back: what was measured after `step` is undone."""

    step: int
    time: float


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool is told of the run."""

    name: str
    folder: Path
    """The run's folder; a tool's own files go into it."""
    settings: dict[str, Any] = {}
    """The recipe, flat: ``{"data.max_length": 128}``."""

    def remembered(self, tool: str) -> str:
        """Return the name that a tool knows this run by, as `remember` kept it; empty: it does not know it yet."""
        try:
            return (self.folder / f"{tool}.id").read_text("utf-8").strip()
        except OSError:
            return ""

    def remember(self, tool: str, name: str) -> None:
        """Keep the name that a tool knows this run by, so that a resume goes on with it."""
        (self.folder / f"{tool}.id").write_text(name + "\n", "utf-8")


class Tracker(Protocol):
    """What passes records on to one tool; used by one thread alone."""

    def take(self, items: Sequence[Item]) -> None:
        """Pass `items` on, in their order."""

    def close(self, status: str) -> None:
        """End the run there; `status` as in `Ended`, or ``unfinished``."""


Item = Point | Message | Back


def item(record: Record) -> Item | None:
    """Return what other tools are told of `record`; None: nothing."""
    match record:
        case Step():
            return Point(record.step, record.time, _numbers(record))
        case Eval():
            prefix = f"eval/{record.split}"
            values = {f"{prefix}/loss": record.loss}
            values |= {f"{prefix}/{name}": value for name, value in record.metrics.items()}
            values |= {f"{prefix}/recall/{name}": value for name, value in record.recalls.items()}
            return Point(record.step, record.time, values)
        case Inspected(memory_bytes=int(held)):
            return Point(record.step, record.time, {"system/memory_gb": held / 1e9})
        case Finding():
            title = f"{record.code.replace('_', ' ')} at step {record.step:,}"
            advice = f" What to do: {record.advice[0]}" if record.advice else ""
            return Message(record.step, record.time, record.severity, title, f"{record.summary}{advice}")
        case Acted():
            applied = record.outcome == "applied"
            what = describe(record.action) if applied else f"wanted to {intended(record.action)}"
            outcome = "" if applied else f" ({record.outcome})"
            title = f"{record.by} at step {record.step:,}"
            text = f"{what}{outcome}; {record.detail or record.reason}"
            return Message(record.step, record.time, "info", title, text)
        case Rewound():
            return Back(record.to_step, record.time)
        case Ended():
            text = f"{record.status}: {record.reason}"
            level: Severity = "critical" if record.status == "failed" else "info"
            return Message(record.step, record.time, level, f"the run ended at step {record.step:,}", text)
    return None


def _numbers(step: Step) -> dict[str, float]:
    values = {
        "train/loss": step.loss,
        "train/learning_rate": step.learning_rate,
        "train/grad_norm": step.gradient_norm,
        "train/epoch": step.epoch,
    }
    if step.seconds > 0:
        values["train/tokens_per_second"] = step.tokens / step.seconds
    for prefix, norms in (("gradients", step.layer_gradients), ("updates", step.layer_updates)):
        values |= {f"{prefix}/{layer}": norm for layer, norm in (norms or {}).items()}
    return values


class Forwarding:
    """Hands records to the tools that a recipe names in `log_to`."""

    def __init__(self, tools: Mapping[str, Callable[[], Tracker]]) -> None:
        self._lines = [_Line(name, opened) for name, opened in tools.items()]

    def take(self, record: Record) -> None:
        """Pass `record` on; returns at once, whatever the tools do."""
        for line in self._lines:
            line.put(record)

    def remarks(self) -> Iterable[str]:
        """Return what went wrong since the last call, a sentence each."""
        return [text for line in self._lines for text in line.remarks()]

    def close(self, seconds: float) -> None:
        """Pass on what waits and end the run there; a tool that needs longer than `seconds` is left behind."""
        until = time.monotonic() + seconds
        for line in self._lines:
            line.end()
        for line in self._lines:
            line.wait(max(0.0, until - time.monotonic()))
        for text in self.remarks():
            _LOGGER.warning("%s", text)


class _Line:
    """The queue of one tool, and the thread that empties it; begun with the first record."""

    def __init__(self, name: str, opened: Callable[[], Tracker]) -> None:
        self._name, self._opened = name, opened
        self._waiting: queue.Queue[Record | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._dropped = 0
        self._ending = threading.Event()
        self._given_up = False

    def put(self, record: Record) -> None:
        if self._given_up or self._ending.is_set():
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"tunewell-{self._name}", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            if not self._dropped:
                self._told.put(f"`log_to: {self._name}` is too slow: records are left out there, none here")
            self._dropped += 1

    def remarks(self) -> list[str]:
        return [self._told.get() for _ in range(self._told.qsize())]

    def end(self) -> None:
        self._ending.set()

    def wait(self, seconds: float) -> None:
        if self._thread is None:
            return
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._told.put(f"`log_to: {self._name}` did not finish in time and is left behind")
        elif self._dropped:
            self._told.put(f"`log_to: {self._name}` lacks {self._dropped:,} records; the log has them all")

    def _run(self) -> None:
        tracker: Tracker | None = None
        failures, status = 0, "unfinished"
        for records in self._batches():
            status = next((r.status for r in reversed(records) if isinstance(r, Ended)), status)
            items = [found for record in records if (found := item(record)) is not None]
            try:
                tracker = tracker or self._opened()
                if items:
                    tracker.take(items)
                failures = 0
            except Exception as error:
                failures += 1
                self._tell(error, failures)
                if failures == _FAILURES or tracker is None:
                    self._given_up = True
                    break
        if tracker is not None:
            try:
                tracker.close(status)
            except Exception as error:
                self._tell(error, 1)

    def _tell(self, error: Exception, failures: int) -> None:
        if failures == 1:
            reason = str(error).strip().partition("\n")[0]
            self._told.put(
                f"`log_to: {self._name}` failed, training goes on: {type(error).__name__}: {reason}"
            )

    def _batches(self) -> Iterable[list[Record]]:
        """Yield what waits, gathered; ends once the run has ended and all is passed on."""
        while True:
            ending = self._ending.is_set()
            batch: list[Record] = []
            while len(batch) < _MOST_AT_ONCE:
                try:
                    record = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if record is not None:
                    batch.append(record)
            if batch:
                yield batch
            elif ending:
                return
            self._ending.wait(_GATHER_SECONDS)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are finite numbers, for tools that refuse others."""
    return {name: value for name, value in values.items() if math.isfinite(value)}

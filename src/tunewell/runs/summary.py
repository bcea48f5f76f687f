"""One run in a few values, and all runs of a folder.

``summary.json`` in a run's folder is an index: it holds the summary and the length of the log that it was made of. One
that is damaged, or of a log with another length, counts for nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from tunewell.problems import Problem, RunError
from tunewell.records import (
    Acted,
    Committed,
    Ended,
    Eval,
    Finding,
    Record,
    Rewound,
    Started,
    Step,
    decode,
    spell_non_finite,
)
from tunewell.runs.control import is_paused
from tunewell.runs.disk import in_words, write_durably
from tunewell.runs.folder import RunFolder
from tunewell.runs.live import LiveLog
from tunewell.runs.timeline import timeline

Status = Literal[
    "running", "paused", "completed", "stopped", "interrupted", "failed", "crashed", "unreadable"
]

R = TypeVar("R", bound=Record)

_END_BYTES = 1 << 16
_READERS = 16
_STEP = b'{"type":"step"'


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a few values; times in seconds since the epoch."""

    name: str
    path: str
    status: Status
    """crashed: it neither ended nor is anyone training it; paused: it waits for a person, and its process lives."""
    reason: str = ""
    started: float = 0.0
    updated: float = 0.0
    seconds: float = 0.0
    step: int = 0
    total_steps: int = 0
    epoch: float = 0.0
    loss: float | None = None
    """Training loss of the last step."""
    first_eval: Eval | None = None
    best_eval: Eval | None = None
    last_eval: Eval | None = None
    test_before: Eval | None = None
    """On the test rows before training."""
    test_after: Eval | None = None
    """On the test rows at the end."""
    findings: dict[str, int] = {}
    """How many of each severity."""
    open_incidents: dict[str, int] | None = None
    """How many incidents of each severity nothing has mended; None: not counted."""
    actions: int = 0
    """Applied by policies and people; the recipe's own not counted."""
    rewinds: int = 0
    checkpoints: int = 0
    partial: bool = False
    """True: only the ends of a long log were read, so counts and the best evaluation are of those."""


def summarize(path: Path, *, quick: bool = False) -> Summary:
    """Return the summary of the run in the folder `path`; raises `RunError` where there is none.

    `quick` reads only the first and last 64 KiB of the log; shorter logs are read whole either way.
    """
    run = RunFolder(path)
    if not run.exists():
        raise RunError(
            Problem("run", "no run here", str(path), fix="`tunewell runs` lists the runs that are there")
        )
    partial = False
    lines: Iterable[bytes] = []
    with in_words("read the log", run.log):
        if run.log.exists():
            partial = quick and run.log.stat().st_size > 2 * _END_BYTES
            lines = _ends(run.log) if partial else _whole(run.log)
        return summary_of(run, timeline(_decoded(lines)), partial=partial)


def list_runs(root: Path) -> list[Summary]:
    """Return the runs in `root`, the one started last first; an empty list when there is no such folder.

    A run that ended is read from its index, of others only the ends of long logs (see `Summary.partial`). A run
    that can't be read is listed as such.
    """
    if not root.is_dir():
        return []
    with in_words("list the runs", root), os.scandir(root) as entries:
        paths = [entry.path for entry in entries]
    # Several at once: a disk whose pages are not in memory answers them in a third of the time.
    shares = [paths[first::_READERS] for first in range(_READERS)]
    with ThreadPoolExecutor(_READERS) as readers:
        found = list(chain.from_iterable(readers.map(_listed_of, shares)))
    return sorted(found, key=lambda summary: (-summary.started, summary.name))


def end_of(run: RunFolder) -> list[Record]:
    """Return what the last 64 KiB of a run's log say, of updates the last; nothing where it can't be read."""
    try:
        with run.log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _END_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    return list(_decoded(lines if size <= _END_BYTES else lines[1:]))


def store(run: RunFolder) -> None:
    """Write the index of a run that will not write its log further; raises `RunError` when the disk refuses.

    Reads the whole log, so it is for a run's end, not for each of its steps.
    """
    length = run.log.stat().st_size if run.log.exists() else 0
    known = msgspec.structs.replace(summarize(run.path), open_incidents=open_incidents(run))
    text = msgspec.json.encode(spell_non_finite(msgspec.to_builtins(_Index(log_bytes=length, summary=known))))
    with in_words("write the summary", run.summary):
        write_durably(run.summary, b'{"index":%b,\n"sha256":"%b"}\n' % (text, _digest(text)))


def stored(run: RunFolder) -> Summary | None:
    """Return the summary in the index of `run`; None where it is missing, damaged or not of the log as it is."""
    return _stored(str(run.path))


def open_incidents(run: RunFolder, log: LiveLog | None = None) -> dict[str, int] | None:
    """Return how many incidents of each severity nothing has mended; `log`: the run's, where it has been read.

    None where the log can't be read.
    """
    from tunewell.runs.excerpt import excerpt
    from tunewell.runs.incidents import incidents  # it brings the policies along: a list does without

    try:
        if log is None:
            log = LiveLog(run.log)
            log.advance()
        found, _ = incidents(excerpt(log))
    except OSError:
        return None
    return dict(Counter(one.severity for one in found if one.recovered is not True))


class _Index(msgspec.Struct, frozen=True):
    log_bytes: int
    summary: Summary


class _Sealed(msgspec.Struct, frozen=True):
    """What is in the file: the index's bytes and their digest, so that a flipped bit in a number shows."""

    index: msgspec.Raw
    sha256: str


_sealed_decoder = msgspec.json.Decoder(_Sealed)
_index_decoder = msgspec.json.Decoder(_Index, strict=False)


def _listed_of(paths: list[str]) -> list[Summary]:
    return [summary for path in paths if (summary := _listed(path)) is not None]


def _listed(path: str) -> Summary | None:
    """Return the summary of the run in the folder `path`; None: no run is there."""
    # Plain strings: paths as objects would take half of the time that 10,000 runs need.
    name = os.path.basename(path)
    try:
        if (found := _stored(path)) is not None:
            return found
        if not RunFolder(Path(path)).exists():
            return None
        return summarize(Path(path), quick=True)
    except RunError as error:
        return Summary(name=name, path=path, status="unreadable", reason=error.problems[0].message)
    except PermissionError:
        return Summary(name=name, path=path, status="unreadable", reason="reading is not allowed")


def _stored(path: str) -> Summary | None:
    try:
        with open(os.path.join(path, "summary.json"), "rb", buffering=0) as file:
            sealed = _sealed_decoder.decode(file.read())
        if _digest(sealed.index).decode() != sealed.sha256:
            return None
        index = _index_decoder.decode(sealed.index)
        if os.stat(os.path.join(path, "log.jsonl")).st_size != index.log_bytes:
            return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    status = index.summary.status
    if status in {"running", "crashed"}:
        status = "running" if RunFolder(Path(path)).holder() else "crashed"
    # A folder may have been moved or renamed since.
    return msgspec.structs.replace(index.summary, name=os.path.basename(path), path=path, status=status)


def _digest(text: bytes | msgspec.Raw) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


def summary_of(run: RunFolder, records: list[Record], *, partial: bool = False) -> Summary:
    """Return the summary of `run` from its timeline, of whose updates the last is enough."""
    started = _last(records, Started)
    ended = _last(records, Ended)
    step = _last(records, Step)
    rewound = _last(records, Rewound)
    evals = [record for record in records if isinstance(record, Eval)]
    watched = [record for record in evals if record.split == "validation"]
    tests = [record for record in evals if record.split == "test"]
    before = next((record for record in tests if record.step == 0), None)
    after = next((record for record in reversed(tests) if record is not before), None)
    findings: dict[str, int] = {}
    for record in records:
        if isinstance(record, Finding):
            findings[record.severity] = findings.get(record.severity, 0) + 1
    begun = started.time if started else 0.0
    times = [record.time for record in records if record.time]
    updated = max(times, default=0.0)
    status: Status = "crashed"
    if ended is not None:
        status = ended.status
    elif run.holder():
        status = "paused" if is_paused(records) else "running"
    return Summary(
        name=run.name,
        path=str(run.path),
        status=status,
        reason=ended.reason if ended else "",
        started=begun or (run.recipe if run.recipe.exists() else run.log).stat().st_mtime,
        updated=updated,
        seconds=ended.seconds if ended and ended.seconds else max(0.0, updated - (begun or updated)),
        step=max(
            rewound.to_step if rewound else 0, *(record.step for record in [step, ended, *evals] if record), 0
        ),
        total_steps=started.total_steps if started else 0,
        epoch=max((record.epoch for record in [step, *evals] if record), default=0.0),
        loss=step.loss if step else None,
        first_eval=watched[0] if watched else None,
        best_eval=_best(watched, partial=partial),
        last_eval=watched[-1] if watched else None,
        test_before=before,
        test_after=after,
        findings=findings,
        actions=sum(
            isinstance(record, Acted) and record.outcome == "applied" and record.by != "recipe"
            for record in records
        ),
        rewinds=sum(isinstance(record, Rewound) for record in records),
        checkpoints=sum(isinstance(record, Committed) for record in records),
        partial=partial,
    )


def _best(evals: list[Eval], *, partial: bool) -> Eval | None:
    """Return the best as the run marked it; of the ends of a log alone the mark may be that of the very first."""
    marked = [] if partial else [record for record in evals if record.best]
    return marked[-1] if marked else min(evals, key=lambda record: record.loss, default=None)


def _last(records: list[Record], kind: type[R]) -> R | None:
    return next((record for record in reversed(records) if isinstance(record, kind)), None)


def _whole(log: Path) -> Iterator[bytes]:
    with log.open("rb") as lines:
        yield from lines


def _ends(log: Path) -> Iterator[bytes]:
    with log.open("rb") as file:
        head = file.read(_END_BYTES)
        file.seek(-_END_BYTES, 2)
        tail = file.read()
    yield from chain(head.split(b"\n")[:-1], tail.split(b"\n")[1:])


def _decoded(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield the records of `lines` without the steps, save the last (a log is mostly steps); pass over damage."""
    step = b""
    for line in lines:
        if line.startswith(_STEP):
            step = line
            continue
        try:
            record = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(
            record, Rewound | Ended | Acted
        ):  # what a rewind undid, or a pause waits behind, lies before it
            yield from _decoded_step(step)
            step = b""
        yield record
    yield from _decoded_step(step)


def _decoded_step(line: bytes) -> list[Record]:
    try:
        return [decode(line)] if line else []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []

"""What a run came to, so that it can be compared with its undisturbed twin."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tunewell.records import Acted, Ended, Eval, Finding, Record, Rewound, Step
from tunewell.runs import checkpoints
from tunewell.runs import log as logs
from tunewell.runs.timeline import timeline

_COMMIT = re.compile(r"\d{4,}-step-")
_TIMES = {"time": 0.0, "seconds": 0.0, "data_seconds": 0.0}


@dataclass(frozen=True)
class Outcome:
    """SHA-256 digests of what the run made, and its log's timeline without times."""

    digests: dict[str, str]
    """The exported weights, every tensor file of the last checkpoint, the losses of every row by epoch."""
    story: list[Record]
    """Updates, evaluations, findings, actions, rollbacks, the end."""

    def unlike(self, twin: Outcome) -> list[str]:
        """Return what is not as in `twin`, one short text each; empty: equal bit for bit."""
        names = sorted(self.digests.keys() | twin.digests.keys())
        found = [name for name in names if self.digests.get(name) != twin.digests.get(name)]
        if self.story != twin.story:
            pairs = enumerate(zip(self.story, twin.story, strict=False))
            place = next((i for i, (mine, other) in pairs if mine != other), None)
            if place is None:
                found.append(f"the log's timeline has {len(self.story)} records, not {len(twin.story)}")
            else:
                found.append(
                    f"record {place} of the timeline is {self.story[place]}, not {twin.story[place]}"
                )
        return found


def outcome(run: Path) -> Outcome:
    """Return what the complete run in folder `run` came to."""
    files = {"result": run / "model" / "model.safetensors"}
    last = checkpoints.commits(run / "checkpoints")[-1].folder
    files |= {f"last checkpoint: {path.name}": path for path in last.glob("*.safetensors")}
    files |= {f"rows: {path.name}": path for path in (run / "rows").glob("*.bin")}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return Outcome(digests, story(run / "log.jsonl"))


def story(log: Path) -> list[Record]:
    """Return what must be equal in the logs of equal runs.

    Not in it: times and what is judged by them, the numbers of checkpoints (a resume may save once more), and what
    tells of resumes and saves.
    """
    kept: list[Record] = []
    for record in timeline(logs.read(log)):
        match record:
            case Finding(code="stall"):
                continue
            case Rewound(reason="rollback"):
                kept.append(msgspec.structs.replace(record, commit=0, time=0.0))
            case Acted():
                detail = _COMMIT.sub("", record.detail)
                kept.append(msgspec.structs.replace(record, detail=detail, time=0.0))
            case Step() | Eval() | Finding() | Ended():
                times = {name: value for name, value in _TIMES.items() if hasattr(record, name)}
                kept.append(msgspec.structs.replace(record, **times))
    return kept


def lost(run: Path, durable: set[str]) -> list[str]:
    """Return what was saved once and is no more: the newest checkpoint of `durable` names, or a broken one.

    Older ones may have been pruned; one that is there has to verify.
    """
    present = checkpoints.commits(run / "checkpoints")
    problems = [f"{commit.folder.name}: {each}" for commit in present for each in checkpoints.verify(commit)]
    newest = max(durable, default="")
    if newest and newest > max((commit.folder.name for commit in present), default=""):
        problems.append(f"{newest} is gone")
    return problems

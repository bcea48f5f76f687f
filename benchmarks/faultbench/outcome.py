"""One run of the benchmark, and what came of it: a line of the results."""

from __future__ import annotations

from typing import Literal

import msgspec


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be made."""

    base: str
    kind: Literal["plain", "fault", "healthy"]
    """plain: the base as it is; fault or healthy: changed by `name`."""
    name: str = ""
    seed: int
    arm: str
    varied: bool = False

    @property
    def key(self) -> str:
        """One name for each job."""
        return "/".join(
            [self.base, self.kind, self.name, str(self.seed), self.arm, "varied" if self.varied else ""]
        )


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A finding above info, with its place in the story."""

    step: int
    code: str
    severity: str
    incident: str
    cause: str
    """What is at the incident's root, as far as was known at this finding."""
    tied: list[str] = []
    """Incidents that turned out to belong to this one."""
    summary: str = ""


class Alarm(msgspec.Struct, frozen=True):
    """What a baseline says."""

    step: int
    code: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job."""

    job: Job
    stamp: str
    """Digest of the code that made it."""
    steps: int
    onset: int = 0
    deadline: int = 0
    """Last update at which a naming counts as detection."""
    magnitude: float = 0.0
    final: float = 0.0
    """Score on the test rows at the end."""
    reference: float | None = None
    """Best score that a run on the same rows gave, where the healthy mean is out of reach (few rows)."""
    told: list[Told] = []
    f1: float | None = None
    """Of the rows that the findings of the fault's kind list."""
    blind: bool = False
    """The monitor of the fault said at the end that it could not look."""
    actions: list[str] = []
    """Applied ones: step, tag, detail."""
    baselines: dict[str, list[Alarm]] = {}
    seconds: float = 0.0
    error: str = ""
    """How the run broke; empty: it did not."""

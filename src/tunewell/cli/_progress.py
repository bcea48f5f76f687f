"""What a live view shows of a run, gathered from its records as they come."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from tunewell.actions import Pause, Resume, Stop
from tunewell.records import Acted, Ended, Eval, Finding, Record, Rewound, StageBegan, Started, Step
from tunewell.runs.wording import duration

__all__ = ["Progress", "duration", "rate", "scores"]

_WINDOW = 50
"""Steps over which throughput is taken."""
_DECAY = 0.95


@dataclass
class Progress:
    """Where a run stands. `take` each record; a step's loss also moves `smoothed`, its unbiased moving average."""

    started: Started | None = None
    stage: StageBegan | None = None
    step: Step | None = None
    evaluation: Eval | None = None
    best: Eval | None = None
    finding: Finding | None = None
    action: Acted | None = None
    paused: Acted | None = None
    """The pause that the run stands in."""
    ended: Ended | None = None
    smoothed: float | None = None
    total_steps: int = 0
    done: int = 0
    """Updates so far; falls when the run goes back."""
    _sum: float = 0.0
    _weight: float = 0.0
    _recent: deque[Step] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _origin: tuple[float, int] | None = None
    _now: float = 0.0

    def take(self, record: Record, now: float) -> None:
        """Take one record in; `now` is a clock in seconds that never goes back."""
        self._now = now
        match record:
            case Started():
                self.started, self.total_steps = record, record.total_steps
            case StageBegan():
                self.stage = record
            case Step():
                self._take_step(record)
            case Eval(split="validation"):
                self.evaluation = record
                self.best = record if record.best or self.best is None else self.best
            case Finding():
                self.finding = record
            case Acted():
                self._take_action(record)
            case Rewound():
                self.paused = self.paused if record.reason == "rollback" else None
                self.done, self._origin = record.to_step, None
                self._recent.clear()
            case Ended():
                self.ended = record

    def _take_action(self, acted: Acted) -> None:
        self.action = acted
        if acted.outcome == "applied" and isinstance(acted.action, Pause | Resume | Stop):
            self.paused = acted if isinstance(acted.action, Pause) else None
            self._origin = None  # how long the rest takes is judged by what comes after the pause

    def _take_step(self, step: Step) -> None:
        if self._origin is None:
            self._origin = (self._now - step.seconds, step.step - 1)
        self.step, self.done, self.paused = step, step.step, None
        self._recent.append(step)
        if math.isfinite(step.loss):
            self._sum = _DECAY * self._sum + (1 - _DECAY) * step.loss
            self._weight = _DECAY * self._weight + (1 - _DECAY)
            self.smoothed = self._sum / self._weight

    @property
    def share(self) -> float:
        """Share of the updates that is done, from 0 to 1."""
        return min(1.0, self.done / self.total_steps) if self.total_steps else 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows trained on a second, lately; evaluations not counted."""
        return self._per_second(sum(step.rows for step in self._recent))

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on a second, lately, padding not counted."""
        return self._per_second(sum(step.tokens for step in self._recent))

    def _per_second(self, amount: int) -> float:
        seconds = sum(step.seconds for step in self._recent)
        return amount / seconds if seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time to the last update, from the time since the first one seen; None: not known yet."""
        if self._origin is None or self.done <= self._origin[1] or not self.total_steps:
            return None
        since, first = self._origin
        return (self._now - since) / (self.done - first) * max(0, self.total_steps - self.done)


def scores(record: Eval) -> str:
    """Return an evaluation's loss and metrics: ``accuracy 0.861 · macro_f1 0.860 · loss 0.345``."""
    parts = [f"{name} {value:.3f}" for name, value in record.metrics.items()]
    return " · ".join([*parts, f"loss {record.loss:.4g}"])


def rate(value: float) -> str:
    """Return a learning rate shortly: ``1e-4``, ``3.3e-5``."""
    return f"{value:.2g}".replace("e-0", "e-") if value else "0"

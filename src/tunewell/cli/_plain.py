"""The view of a run without a terminal: plain lines, about twenty for the steps, and one for each event."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tunewell.cli._events import event
from tunewell.cli._progress import Progress, duration, rate
from tunewell.cli._terminal import say
from tunewell.records import Eval, Record, Step

_LINES = 20
"""Lines that tell of steps, from start to end."""


class Plain:
    """Prints lines on stderr."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._told = self._part()

    def __enter__(self) -> Self:
        say("Reading the data and the model …")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""

    def show(self, record: Record) -> None:
        """Print what `record` brings, if it is told."""
        part = self._part()
        if part != self._told and isinstance(record, Step | Eval):
            self._told = part
            say(step_line(self.progress))
        if told := event(record):
            say(told[0])

    def _part(self) -> int:
        return self.progress.done * _LINES // max(1, self.progress.total_steps)


def step_line(progress: Progress) -> str:
    """Return where the run stands in one line."""
    step = progress.step
    if step is None:
        return f"step {progress.done:,}/{progress.total_steps:,}"
    parts = [
        f"step {step.step:,}/{progress.total_steps:,} ({progress.share:.0%})",
        f"epoch {step.epoch:.2f}",
        f"loss {step.loss:.4f}"
        + (f" (smoothed {progress.smoothed:.4f})" if progress.smoothed is not None else ""),
        f"lr {rate(step.learning_rate)}",
        f"{progress.rows_per_second:,.0f} rows/s",
        f"{progress.tokens_per_second:,.0f} tokens/s",
    ]
    if progress.seconds_left:
        parts.append(f"{duration(progress.seconds_left)} left")
    return "  ".join(parts)

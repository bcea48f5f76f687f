"""The view of a run in a terminal: events scroll by, a few lines at the bottom show where it stands."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tunewell.cli._curve import LossCurve, speaks_unicode
from tunewell.cli._events import event
from tunewell.cli._following import Losses
from tunewell.cli._progress import Progress, duration, rate
from tunewell.cli._terminal import messages
from tunewell.records import Acted, Finding, Record

_REFRESHES = 4
"""Redraws a second; a redraw costs about a millisecond."""
_TALL = 24
"""From so many lines on the terminal has room for the curve."""
_CURVE_LINES = 9
_CURVE_SECONDS = 1.0
"""Between two drawings of the curve: it costs more than the numbers, and moves less."""
_COLOURS = {"info": "", "warning": "yellow", "critical": "red"}


class Live:
    """Redraws the last lines of the terminal on stderr."""

    def __init__(self, progress: Progress, console: Console | None = None) -> None:
        self.progress = progress
        self._console = console or messages()
        self._spinner = Spinner("dots", "Reading the data and the model …")
        self._losses, self._drawn, self._curve = Losses(), -_CURVE_SECONDS, Text("")
        self._began = time.monotonic()
        self._live = RichLive(
            console=self._console,
            get_renderable=self.render,
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, record: Record) -> None:
        """Print what `record` brings above the live lines, if it is told."""
        self._spinner.update(text="Getting ready …")
        self._losses.take(record)
        if told := event(record):
            line, style = told
            self._console.print(Text(line, style=style))

    def render(self) -> RenderableType:
        """Return the live lines."""
        progress = self.progress
        if progress.step is None:
            return self._spinner
        lines: list[RenderableType] = [self._bar(), self._numbers()]
        if progress.evaluation is not None and progress.best is not None:
            lines.append(_validation(progress))
        lines.append(_state(progress))
        if self._console.height >= _TALL and self._console.is_terminal:
            lines.append(self._redrawn())
        return Group(*lines)

    def _redrawn(self) -> Text:
        """Return the curve of the losses so far, drawn anew if it is time."""
        if (now := time.monotonic()) - self._drawn >= _CURVE_SECONDS:
            train, evals = self._losses.curves()
            plain = not speaks_unicode(self._console)
            steps = self.progress.total_steps
            drawn = LossCurve(train, evals, _CURVE_LINES, last_step=steps, plain=plain)
            self._drawn, self._curve = now, Text("\n").join(drawn.lines(min(self._console.width, 100)))
        return self._curve

    def _bar(self) -> RenderableType:
        progress = self.progress
        left = progress.seconds_left
        elapsed = duration(time.monotonic() - self._began)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=1.0, completed=progress.share, width=30),
            f"{progress.share:4.0%}",
            f"step {progress.done:,}/{progress.total_steps:,}",
            f"{elapsed}" + (f" · {duration(left)} left" if left is not None else ""),
        )
        return grid

    def _numbers(self) -> Text:
        progress = self.progress
        assert progress.step is not None
        step = progress.step
        text = Text.assemble("loss ", (f"{step.loss:.4f}", "bold"))
        if progress.smoothed is not None:
            text.append(f" (smoothed {progress.smoothed:.4f})", "dim")
        text.append(
            f"   lr {rate(step.learning_rate)}   epoch {step.epoch:.2f}   "
            f"{progress.rows_per_second:,.0f} rows/s   {progress.tokens_per_second:,.0f} tokens/s"
        )
        return text


def _validation(progress: Progress) -> Text:
    assert progress.evaluation is not None
    assert progress.best is not None
    last, best = progress.evaluation, progress.best
    name = next(iter(last.metrics), "loss")
    value, top = ({**each.metrics, "loss": each.loss}.get(name, each.loss) for each in (last, best))
    return Text(f"validation {name} {value:.3f} at step {last.step:,} (best {top:.3f} at step {best.step:,})")


def _state(progress: Progress) -> Text:
    """Return one line in words: how the run is."""
    if progress.paused is not None:
        run = progress.started.run if progress.started is not None else "RUN"
        paused = progress.paused
        return Text(
            f"‖ paused by {paused.by} after step {paused.step:,}: tunewell ctl {run} resume", "yellow"
        )
    latest: Finding | Acted | None = progress.finding
    if progress.action is not None and progress.action.by != "recipe":
        latest = progress.action if latest is None or progress.action.step >= latest.step else latest
    if isinstance(latest, Finding):
        return Text(f"▲ {latest.code} at step {latest.step:,}: {latest.summary}", _COLOURS[latest.severity])
    if isinstance(latest, Acted):
        return Text(f"→ {latest.by} at step {latest.step:,}: {latest.detail or latest.reason}", "cyan")
    return Text("● no finding so far", "green")

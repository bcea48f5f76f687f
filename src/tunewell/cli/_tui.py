"""A run watched in a terminal, whoever trains it: its state in words, the curve, what happened, and keys to act."""

from __future__ import annotations

import importlib.util
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunewell.actions import Action, Pause, Resume, SaveNow, SetLearningRate, Stop
from tunewell.cli._answer import who
from tunewell.cli._codes import DONE
from tunewell.cli._curve import LossCurve, in_ascii, speaks_unicode
from tunewell.cli._following import Following
from tunewell.cli._progress import duration, rate
from tunewell.data.spelling import printable
from tunewell.problems import InputError, Problem, RunError
from tunewell.records import Ended
from tunewell.runs.control import is_paused
from tunewell.runs.folder import RunFolder, find
from tunewell.runs.inbox import Request, send
from tunewell.runs.requests import requests
from tunewell.runs.summary import list_runs

_LOOK_SECONDS = 0.25
"""Between two looks at the log and the keys."""
_REDRAW_SECONDS = 1.0
"""At the longest, so that times shown move on."""
_QUIET_SECONDS = 30.0
"""Without a record for so long, the time since the last is told."""
_LEVELS = {"warning": "yellow", "critical": "red"}
_STATES = {
    "requested": "asked, not read yet",
    "accepted": "accepted",
    "applied": "done",
    "refused": "refused",
}


def watch_in_terminal(run: RunFolder, console: Console | None = None) -> int:
    """Show `run` until the key q or Ctrl-C; return the exit code. Watching changes nothing of a run, keys ask it."""
    console = console or Console(stderr=True, highlight=False)
    screen = Screen(run, console)
    screen.look()
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
        drawn = 0.0
        try:
            while not screen.is_left:
                changed = screen.look()
                for key in pressed():
                    screen.press(key)
                    changed = True
                if changed or time.monotonic() - drawn >= _REDRAW_SECONDS:
                    live.update(screen.render(), refresh=True)
                    drawn = time.monotonic()
        except KeyboardInterrupt:
            pass
    return DONE


def chosen(run: str | None, root: Path) -> RunFolder:
    """Return the run that is meant, or the one in `root` that began last; raises `RunError` where there is none."""
    if run is not None:
        return find(run, root)
    listed = list_runs(root)
    if not listed:
        raise RunError(Problem("run", "there are no runs to watch", str(root), fix="tunewell train RECIPE"))
    return RunFolder(Path(listed[0].path))


class Screen:
    """What the terminal shows of a run, and what each key does."""

    def __init__(self, run: RunFolder, console: Console) -> None:
        self.run, self._console = run, console
        self.following = Following(run.log)
        self.is_left = False
        self._plain = not speaks_unicode(console)
        self._asked: list[Request] = []
        self._said = ""
        self._typed: str | None = None
        self._stopping = self._held = False

    def look(self) -> bool:
        """Read what is new; return whether anything is."""
        held = self.run.holder() is not None
        changed = self.following.read() or held != self._held
        self._held = held
        return changed

    def press(self, key: str) -> None:
        """Do what `key` means."""
        if self._typed is not None:
            self._type(key)
            return
        stopping, self._stopping, self._said = self._stopping, False, ""
        if key == "q":
            self.is_left = True
        elif key in "prslx" and not self._held:
            self._said = "nobody trains this run now: it can't be asked anything"
        elif key == "l":
            self._typed = ""
        elif key == "x" and not stopping:
            self._stopping = True
        else:
            wishes: dict[str, Action] = {"p": Pause(), "r": Resume(), "s": SaveNow(), "x": Stop()}
            if key in wishes:
                self._ask(wishes[key])

    def _type(self, key: str) -> None:
        assert self._typed is not None
        if key in "\r\n":
            typed, self._typed = self._typed, None
            try:
                value = float(typed)
            except ValueError:
                self._said = f"`{typed}` is no number" if typed else ""
                return
            if 0 < value <= 10:
                self._ask(SetLearningRate(value))
            else:
                self._said = "a learning rate is greater than 0 and at most 10"
        elif key in "\x7f\b":
            self._typed = self._typed[:-1]
        elif key == "\x1b":
            self._typed = None
        elif key in "0123456789.eE-+" and len(self._typed) < 20:
            self._typed += key

    def _ask(self, action: Action) -> None:
        try:
            self._asked.append(send(self.run, who(), action=action))
        except InputError as error:
            self._said = error.problems[0].message

    def render(self) -> RenderableType:
        """Return the whole screen."""
        width, height = self._console.size
        head = [self._status(), self._bar(), self._numbers(), *self._validation()]
        foot = [*self._answers(), self._keys_told()]
        left = height - len(head) - len(foot) - 1
        shown = max(0, min(len(self.following.events), max(3, left // 4)))
        curve = self._curve(left - shown - (1 if shown else 0))
        events = (
            [Text(printable(text), style) for text, style in list(self.following.events)[-shown:]]
            if shown
            else []
        )
        lines: list[RenderableType] = [*head, *curve]
        lines += [Text(""), *events] if events else []
        filler = height - len(head) - len(curve) - len(events) - bool(events) - len(foot)
        lines += [Text("")] * max(0, filler)
        return Group(*(self._fitted(line, width) for line in [*lines, *foot]))

    def _fitted(self, line: RenderableType, width: int) -> RenderableType:
        if not isinstance(line, Text):
            return line
        if self._plain and not line.plain.isascii():
            spans, line = line.spans, Text(in_ascii(line.plain), line.style)
            line.spans = spans
        line.no_wrap = True
        line.truncate(width, overflow="crop" if self._plain else "ellipsis")
        return line

    def _status(self) -> Text:
        progress = self.following.progress
        name = Text(f"{printable(self.run.name)}  ", "bold")
        text, style = self._state(progress.ended)
        name.append(text, style)
        quiet = time.time() - self.following.updated
        if self._held and progress.ended is None and self.following.updated and quiet > _QUIET_SECONDS:
            name.append(f"  last record {duration(quiet)} ago", "dim")
        return name

    def _state(self, ended: Ended | None) -> tuple[str, str]:
        """Return how the run stands, in words, and their style."""
        following = self.following
        if ended is not None:
            signs = {"completed": ("✓", "green"), "interrupted": ("‖", "yellow")}
            sign, style = signs.get(ended.status, ("✖", "red"))
            reason = f": {ended.reason}" if ended.status != "completed" else ""
            return f"{sign} {ended.status} at step {ended.step:,}{reason}", style
        if not self._held:
            return f"‖ nobody trains it now; last step {following.progress.done:,}", "yellow"
        if is_paused(following.said):
            return f"‖ paused after step {following.progress.done:,}", "yellow"
        if following.trouble is not None:
            trouble = following.trouble
            text = f"▲ needs attention: {trouble.code.replace('_', ' ')} at step {trouble.step:,}"
            return text, _LEVELS.get(trouble.severity, "")
        if following.progress.step is None:
            return "● getting ready", "green"
        return "● healthy: no fault was seen so far", "green"

    def _bar(self) -> RenderableType:
        progress = self.following.progress
        left = progress.seconds_left if self._held else None
        grid = Table.grid(padding=(0, 1))
        told = f"step {progress.done:,}" + (f"/{progress.total_steps:,}" if progress.total_steps else "")
        bar = ProgressBar(total=1.0, completed=progress.share, width=30)
        grid.add_row(
            bar, f"{progress.share:4.0%}", told, f"{duration(left)} left" if left is not None else ""
        )
        return grid

    def _numbers(self) -> Text:
        progress = self.following.progress
        step = progress.step
        if step is None:
            return Text("no update yet", "dim")
        smooth = f" (smoothed {progress.smoothed:.4f})" if progress.smoothed is not None else ""
        speed = f"   {progress.rows_per_second:,.0f} rows/s   {progress.tokens_per_second:,.0f} tokens/s"
        text = Text.assemble("loss ", (f"{step.loss:.4f}", "bold"), (smooth, "dim"))
        text.append(f"   lr {rate(step.learning_rate)}   epoch {step.epoch:.2f}{speed}")
        return text

    def _validation(self) -> list[Text]:
        last, best = self.following.progress.evaluation, self.following.progress.best
        if last is None or best is None:
            return []
        name = next(iter(last.metrics), "loss")
        value, top = ({**each.metrics, "loss": each.loss}.get(name, each.loss) for each in (last, best))
        told = f"validation {printable(name)} {value:.3f} at step {last.step:,} (best {top:.3f} at step {best.step:,})"
        return [Text(told)]

    def _curve(self, height: int) -> list[Text]:
        train, evals = self.following.losses.curves()
        if height < 5:
            return []
        last = self.following.progress.total_steps
        drawn = LossCurve(train, evals, height - 1, last_step=last, plain=self._plain)
        lines = drawn.lines(self._console.width)
        return [Text(""), *lines] if lines else []

    def _answers(self) -> list[Text]:
        """Return what became of the last thing asked for here, or what stood against it."""
        if self._typed is not None:
            return [Text(f"learning rate: {self._typed}_   (Enter sets it, Esc leaves it)", "bold")]
        if self._stopping:
            return [Text("stop and save? x again stops it, any other key does not", "bold yellow")]
        if self._said:
            return [Text(self._said, "yellow")]
        if not self._asked:
            return []
        one = requests(self.following.said, self._asked[-1:])[-1]
        at = f" at step {one.step:,}" if one.step is not None else ""
        detail = one.why or one.detail
        text = f"{one.what}: {_STATES[one.state]}{at}{f' ({detail})' if detail else ''}"
        return [Text(printable(text), "red" if one.state == "refused" else "cyan")]

    def _keys_told(self) -> Text:
        if not self._held:
            return Text("q leave", "dim")
        return Text("q leave  p pause  r resume  s save  l learning rate  x stop and save", "dim")


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Yield a function that waits a moment and returns the keys pressed meanwhile; without a terminal there are none."""
    keyboard = _keyboard()
    if keyboard is None:
        yield _nothing
        return
    import termios
    import tty

    def pressed() -> str:
        ready, _, _ = select.select([keyboard], [], [], _LOOK_SECONDS)
        return os.read(keyboard, 64).decode("utf-8", "ignore") if ready else ""

    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _keyboard() -> int | None:
    """Return the terminal that keys come from; None: there is none, or this system has no such thing."""
    if importlib.util.find_spec("termios") is None or not sys.stdin.isatty():
        return None
    return sys.stdin.fileno()


def _nothing() -> str:
    time.sleep(_LOOK_SECONDS)
    return ""

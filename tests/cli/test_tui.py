"""A run watched in a terminal: what the screen says at several sizes, what its keys ask, a real terminal."""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tunewell.actions import Pause, Rollback, SaveNow, SetLearningRate
from tunewell.cli._tui import Screen, chosen
from tunewell.problems import RunError
from tunewell.records import (
    Acted,
    Effect,
    Ended,
    Eval,
    Finding,
    Record,
    Requested,
    Rewound,
    Started,
    Step,
    encode,
)
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Inbox


def step(number: int, loss: float | None = None) -> Step:
    return Step(
        time=1000.0 + number, step=number, cursor=number, epoch=0.1, stage=0,
        loss=2.0 / number if loss is None else loss, learning_rate=1e-4, gradient_norm=2.0, rows=4, tokens=50,
        seconds=0.5,
    )  # fmt: skip


def scored(number: int) -> Eval:
    return Eval(
        step=number, epoch=1, split="validation", loss=0.5, metrics={"f1": 0.7}, rows=9, seconds=1, best=True
    )


SPIKE = Finding(
    step=60, monitor="m", code="loss_spike", severity="critical", summary="It rose \x1b[31m.", meaning=""
)
BACK = Acted(
    step=60, action=Rollback(before=60), by="cautious", reason="r", outcome="applied", code="loss_spike"
)
STARTED = Started(
    run="demo", recipe_hash="", data_hash="", fingerprint={}, total_steps=200, batches_per_epoch=10, num_rows={},
    trainable_parameters=1, total_parameters=1,
)  # fmt: skip


class Watched:
    """A run whose log grows, and the screen that shows it."""

    def __init__(self, folder: Path, width: int = 80, height: int = 24, encoding: str = "utf-8") -> None:
        folder.mkdir()
        self.run = RunFolder(folder)
        self.run.log.touch()
        self.file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        self.console = Console(
            file=self.file, width=width, height=height, force_terminal=True, color_system=None
        )
        self.screen = Screen(self.run, self.console)

    def add(self, *records: Record) -> None:
        with self.run.log.open("ab") as file:
            file.write(b"".join(map(encode, records)))

    def shown(self) -> list[str]:
        self.screen.look()
        self.file.seek(0)
        self.file.truncate()
        self.console.print(self.screen.render(), end="")
        self.file.flush()
        self.file.seek(0)
        return self.file.read().splitlines()


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path / "demo")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 45), (40, 12), (200, 60)])
def test_the_screen_fits(tmp_path, width, height):
    watched = Watched(tmp_path / "demo", width, height)
    watched.add(STARTED, *map(step, range(1, 100)), scored(50), SPIKE, BACK)
    lines = watched.shown()
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert "\x1b[31m" not in "\n".join(lines)


def test_it_says_how_the_run_stands(watched):
    assert "nobody trains it now; last step 0" in watched.shown()[0]
    with watched.run.hold():
        assert "getting ready" in watched.shown()[0]
        watched.add(STARTED, *map(step, range(1, 61)), scored(50))
        first = watched.shown()
        assert "healthy: no fault was seen so far" in first[0]
        assert "step 60/200" in first[1]
        assert "left" in first[1]
        assert "validation f1 0.700 at step 50 (best 0.700 at step 50)" in first[3]
        watched.add(SPIKE, BACK, Rewound(step=60, to_step=40, commit=1, reason="rollback"))
        assert "needs attention: loss spike at step 60" in watched.shown()[0]
        watched.add(
            Effect(
                step=80, acted_step=60, action=Rollback(before=60), code="loss_spike", helped=True, measure="x",
                before=1, after=1, text="It helped.",
            )
        )  # fmt: skip
        lines = watched.shown()
        assert "healthy" in lines[0]
        assert any("It helped." in line for line in lines)
    watched.add(Ended(step=200, status="completed", reason="all steps done"))
    assert "completed at step 200" in watched.shown()[0]


def test_a_resume_takes_the_end_back(watched):
    watched.add(STARTED, step(1), Ended(step=1, status="interrupted", reason="SIGTERM"))
    assert "interrupted at step 1: SIGTERM" in watched.shown()[0]
    with watched.run.hold():
        watched.add(Rewound(step=0, to_step=1, commit=0, reason="resume"), step(2))
        assert "healthy" in watched.shown()[0]


def test_a_log_that_was_cut_back_is_read_anew(watched):
    watched.add(STARTED, *map(step, range(1, 61)))
    assert "step 60/200" in watched.shown()[1]
    watched.run.log.write_bytes(encode(STARTED) + encode(step(1)) + encode(step(2)) + b'{"type":"st')
    assert "step 2/200" in watched.shown()[1]


def test_a_spike_shows_in_the_curve(watched):
    watched.add(STARTED, *(step(n, loss=30.0 if n == 70 else 1.0) for n in range(1, 200)))
    dotted = [line for line in watched.shown() if any(0x2800 < ord(char) < 0x2900 for char in line)]
    assert len(dotted) > 8
    upper = dotted[:3]
    columns = {place for line in upper for place, char in enumerate(line) if 0x2800 < ord(char) < 0x2900}
    assert 1 <= len(columns) <= 2  # one thin line from top to bottom


def test_plain_signs_where_the_terminal_has_no_others(tmp_path):
    watched = Watched(tmp_path / "demo", encoding="ascii")
    watched.add(STARTED, *map(step, range(1, 100)), scored(50), SPIKE, BACK)
    text = "\n".join(watched.shown())
    assert text.isascii()
    assert "#" in text


def test_keys_ask_the_run_and_the_answer_is_shown(watched):
    watched.add(STARTED, step(1))
    with watched.run.hold():
        watched.screen.look()
        for key in "spl2e-5\n":
            watched.screen.press(key)
        found, _ = Inbox(watched.run.inbox).read()
        assert [one.action for one in found] == [SaveNow(), Pause(), SetLearningRate(2e-5)]
        assert any("set the learning rate to 2e-05: asked, not read yet" in line for line in watched.shown())
        action = found[-1].action
        watched.add(
            Requested(step=2, id=found[-1].id, by="me", asked=1.0, action=action),
            Acted(step=2, action=action, by="me", reason="asked for", outcome="applied", detail="1e-4 → 2e-5", request=found[-1].id),
        )  # fmt: skip
        assert any("done at step 2 (1e-4 → 2e-5)" in line for line in watched.shown())


def test_a_stop_needs_two_keys_and_nonsense_asks_nothing(watched):
    watched.add(STARTED, step(1))
    with watched.run.hold():
        watched.screen.look()
        for key in ("x", "z", "l", "9", "9", "\n", "l", "\x1b", "l", "\n"):
            watched.screen.press(key)
        assert not watched.run.inbox.exists()
        watched.screen.press("x")
        assert any("x again" in line for line in watched.shown())
        watched.screen.press("x")
        assert len(Inbox(watched.run.inbox).read()[0]) == 1


def test_a_run_that_nobody_trains_is_asked_nothing(watched):
    watched.add(STARTED, step(1))
    watched.screen.look()
    watched.screen.press("s")
    assert not watched.run.inbox.exists()
    assert any("nobody trains this run now" in line for line in watched.shown())
    watched.screen.press("q")
    assert watched.screen.is_left


def test_the_newest_run_is_meant_where_none_is_named(tmp_path):
    with pytest.raises(RunError, match="no runs to watch"):
        chosen(None, tmp_path)
    for place, name in enumerate(("old", "new")):
        watched = Watched(tmp_path / name)
        watched.add(msgspec.structs.replace(STARTED, run=name, time=1000.0 + place))
    assert chosen(None, tmp_path).name == "new"
    assert chosen("ol", tmp_path).name == "old"


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_in_a_real_terminal_q_leaves(tmp_path):
    import pty

    watched = Watched(tmp_path / "demo")
    watched.add(STARTED, *map(step, range(1, 60)))
    terminal, other = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tunewell", "watch", str(watched.run.path), "--tui"],
        stdin=other,
        stdout=other,
        stderr=other,
        env=environment,
    )
    os.close(other)
    seen, until, asked = b"", time.monotonic() + 30, False
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 1 << 16)
            except OSError:  # the other side is gone
                break
        if b"q leave" in seen and not asked:
            os.write(terminal, b"q")
            asked = True
    assert process.wait(20) == 0
    os.close(terminal)
    assert "step 59/200" in seen.decode()

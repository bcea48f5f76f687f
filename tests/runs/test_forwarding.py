"""Records passed on to other tools: in order, gathered, and never in the way of the training."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from tunewell.actions import ScaleLearningRate
from tunewell.records import Acted, Ended, Eval, Finding, Note, Record, Rewound, Step
from tunewell.runs import forwarding
from tunewell.runs.forwarding import Back, Forwarding, Item, Message, Opening, Point, item


def step(number: int, loss: float = 1.0) -> Step:
    return Step(
        step=number, cursor=number, epoch=0.1, stage=0, loss=loss, learning_rate=1e-4, gradient_norm=2.0, rows=4,
        tokens=50, seconds=0.5, layer_gradients={"head": 0.1},
    )  # fmt: skip


ENDED = Ended(step=9, status="completed", reason="all steps done")


class Kept:
    """A tool that keeps what it gets; it waits for `gate`, and fails as often as `failures` says."""

    def __init__(self, gate: threading.Event | None = None, failures: int = 0) -> None:
        self.items: list[Item] = []
        self.calls, self.status, self.gate, self.failures = 0, "", gate, failures

    def take(self, items: Sequence[Item]) -> None:
        self.calls += 1
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.calls <= self.failures:
            raise OSError("the net is gone\nand more")
        self.items += items

    def close(self, status: str) -> None:
        self.status = status


def forwarded(tool: Kept, records: Sequence[Record]) -> Forwarding:
    line = Forwarding({"kept": lambda: tool})
    for record in records:
        line.take(record)
    return line


def test_records_become_what_such_tools_are_used_to():
    point = item(step(3, math.nan))
    assert isinstance(point, Point)
    assert math.isnan(point.values["train/loss"])
    assert point.values["train/tokens_per_second"] == 100
    assert point.values["gradients/head"] == 0.1
    scored = Eval(
        step=3,
        epoch=1,
        split="validation",
        loss=0.5,
        metrics={"f1": 0.7},
        rows=9,
        seconds=1,
        recalls={"a": 1.0},
    )
    assert item(scored) == Point(
        3, 0.0, {"eval/validation/loss": 0.5, "eval/validation/f1": 0.7, "eval/validation/recall/a": 1.0}
    )
    finding = Finding(
        step=3,
        monitor="m",
        code="loss_spike",
        severity="critical",
        summary="It rose.",
        meaning="",
        advice=["wait"],
    )
    assert item(finding) == Message(3, 0.0, "critical", "loss spike at step 3", "It rose. What to do: wait")
    acted = Acted(step=3, action=ScaleLearningRate(0.5), by="anna", reason="why", outcome="refused")
    told = item(acted)
    assert isinstance(told, Message)
    assert told.text == "wanted to multiply the learning rate by 0.5 (refused); why"
    assert item(Rewound(step=9, to_step=4, commit=0, reason="rollback")) == Back(4, 0.0)
    assert item(Note(step=1, text="x")) is None


def test_everything_arrives_in_order_and_gathered():
    tool = Kept()
    line = forwarded(tool, [*(step(number) for number in range(1, 501)), ENDED])
    line.close(20)
    assert [one.step for one in tool.items] == [*range(1, 501), 9]
    assert tool.calls < 20
    assert tool.status == "completed"
    assert list(line.remarks()) == []


def test_a_tool_that_hangs_costs_the_training_nothing(monkeypatch, caplog):
    monkeypatch.setattr(forwarding, "_WAITING", 100)
    gate = threading.Event()
    tool = Kept(gate)
    began = time.perf_counter()
    line = forwarded(tool, [step(number) for number in range(5_000)])
    assert time.perf_counter() - began < 1
    assert any("too slow" in text for text in line.remarks())
    with caplog.at_level(logging.WARNING, "tunewell"):
        line.close(0.05)
    assert "did not finish in time" in caplog.text
    gate.set()
    line._lines[0].wait(20)


def test_what_fails_once_is_told_and_goes_on(until):
    tool = Kept(failures=1)
    line = forwarded(tool, [step(1)])
    until(lambda: tool.calls == 1)
    line.take(step(2))
    line.close(20)
    assert [one.step for one in tool.items] == [2]


def test_what_fails_again_and_again_is_given_up(until):
    tool = Kept(failures=99)
    line = forwarded(tool, [])
    for number in range(3):
        line.take(step(number))
        until(lambda number=number: tool.calls > number)
    until(lambda: line._lines[0]._given_up)
    line.take(step(9))
    line.close(20)
    assert tool.calls == 3


def test_one_that_can_not_be_opened_is_told_once():
    def refuse() -> Kept:
        raise PermissionError("no account")

    line = Forwarding({"kept": refuse})
    line.take(step(1))
    line._lines[0].end()
    line._lines[0].wait(20)
    assert list(line.remarks()) == ["`log_to: kept` failed, training goes on: PermissionError: no account"]


def test_without_a_record_nothing_is_opened():
    line = Forwarding({"kept": lambda: pytest.fail("opened")})
    line.close(1)


def test_the_name_that_a_tool_gave_is_kept(tmp_path):
    opening = Opening(name="demo", folder=tmp_path)
    assert opening.remembered("wandb") == ""
    opening.remember("wandb", "abc")
    assert opening.remembered("wandb") == "abc"


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Return a function that waits until something is true."""

    def wait(ready: Callable[[], bool]) -> None:
        gate, end = threading.Event(), time.monotonic() + 20
        while not ready():
            assert time.monotonic() < end
            gate.wait(0.01)

    return wait

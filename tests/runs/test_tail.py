"""A log followed while it grows."""

from __future__ import annotations

from pathlib import Path

from tunewell.actions import SaveNow
from tunewell.records import Acted, Note, Record, Step, encode
from tunewell.runs.folder import RunFolder
from tunewell.runs.inbox import Request
from tunewell.runs.tail import Tail, await_answer


def step(number: int) -> Step:
    return Step(
        step=number, cursor=number - 1, epoch=0.1, stage=0, loss=0.5, learning_rate=1e-4, gradient_norm=1.0,
        rows=4, tokens=40, seconds=0.1,
    )  # fmt: skip


def note(text: str) -> Note:
    return Note(step=1, text=text)


def write(path: Path, *records: Record, end: bytes = b"") -> None:
    with path.open("ab") as file:
        file.write(b"".join(encode(record) for record in records) + end)


def test_each_record_comes_once_and_of_steps_the_last_before_another_record(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log.jsonl")
    assert tail.read() == []
    write(tail.path, step(1), step(2), note("a"), step(3), step(4))
    assert tail.read() == [step(2), note("a"), step(4)]
    assert tail.read() == []
    write(tail.path, note("b"), end=encode(note("c"))[:9])
    assert tail.read() == [note("b")]
    write(tail.path, end=encode(note("c"))[9:] + b"nonsense\n")
    assert tail.read() == [note("c")]


def test_a_log_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log.jsonl")
    write(tail.path, note("a"), note("b"))
    assert len(tail.read()) == 2
    tail.path.write_bytes(encode(note("c")))
    assert tail.read() == [note("c")]


def test_an_answer_is_waited_for_as_long_as_somebody_could_give_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    request = Request(id="a", by="anna", action=SaveNow())
    seen: list[str] = []

    def wait(seconds: float) -> str:
        asked = await_answer(run, request, Tail(run.log), [], seconds, lambda one: seen.append(one.state))
        return asked.state

    assert wait(60.0) == "requested", "nobody trains it: there is nothing to wait for"
    with run.hold():
        assert wait(0.0) == "requested"
        write(run.log, Acted(step=1, action=SaveNow(), by="anna", reason="", outcome="applied", request="a"))
        assert wait(60.0) == "applied"
    assert seen == ["requested", "requested", "requested", "applied"]

"""A damaged log: whatever still decodes is kept, whatever does not is named."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewell.problems import RunError
from tunewell.records import Finding, Note, Record, encode
from tunewell.runs import salvage
from tunewell.runs.disk import DiskFullError
from tunewell.runs.log import LogWriter, read
from tunewell.runs.salvage import salvage_lines

RECORDS: list[Record] = [
    Note(step=number, text=f'text {number} with {{"type":"step"}} in it', topic="x" * number)
    for number in range(30)
]
RECORDS[7] = Finding(
    step=7, monitor="m", code="c", severity="info", summary="s", meaning="m", evidence={"type": "step"}
)
LINES = [encode(record) for record in RECORDS]
WHOLE = b"".join(LINES)


def mended(path: Path, content: bytes, length: int = len(WHOLE)) -> LogWriter:
    path.write_bytes(content)
    writer = LogWriter.salvage(path, length)
    writer.close()
    assert writer.damaged is not None
    assert writer.damaged.read_bytes() == content
    assert writer.position() == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    return writer


def test_a_lost_line_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    content = WHOLE.replace(b'"text 4 ', b"\x00text 4 ") + b'{"type":"note","step":99,"text":"later"}\n'
    writer = mended(path, content)
    assert writer.salvaged.lost == [5]
    assert str(writer.salvaged) == "line 5 can't be read, so what it said is lost"
    assert list(read(path)) == [*RECORDS[:4], *RECORDS[5:]]
    assert writer.damaged == tmp_path / "log.damaged-1.jsonl"
    assert mended(path, content).damaged == tmp_path / "log.damaged-2.jsonl"


def test_what_is_appended_after_the_salvage_goes_to_the_new_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"x" + WHOLE[1:])
    writer = LogWriter.salvage(path, len(WHOLE))
    writer.append(Note(step=50, text="on"))
    writer.close()
    assert writer.damaged is not None
    assert writer.damaged.read_bytes() == b"x" + WHOLE[1:]
    assert path.read_bytes() == b"".join(LINES[1:]) + encode(Note(step=50, text="on"))


def test_a_missing_log_begins_empty(tmp_path: Path) -> None:
    writer = LogWriter.salvage(tmp_path / "log.jsonl", 100)
    writer.close()
    assert (writer.damaged, writer.salvaged.kept, writer.salvaged.missing) == (None, [], 100)
    assert (tmp_path / "log.jsonl").read_bytes() == b""


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_a_short_log_keeps_its_whole_lines(tmp_path: Path, share: float) -> None:
    size = int(share * (len(WHOLE) - 3))
    writer = mended(tmp_path / "log.jsonl", WHOLE[:size])
    whole = WHOLE[:size].count(b"\n")
    assert writer.salvaged.kept == LINES[:whole]
    assert writer.salvaged.missing == len(WHOLE) - size
    assert len(writer.salvaged.lost) == (size > 0)


def test_a_bit_that_still_decodes_costs_no_line_and_is_said(tmp_path: Path) -> None:
    writer = mended(tmp_path / "log.jsonl", WHOLE.replace(b"text 4 ", b"tuxt 4 "))
    assert writer.salvaged.lost == []
    assert len(writer.salvaged.kept) == len(LINES)
    assert "a value in it may be wrong" in str(writer.salvaged)


@pytest.mark.parametrize("number", [0, 6, 7, 28, 29])
def test_a_destroyed_newline_costs_nothing(tmp_path: Path, number: int) -> None:
    place = len(b"".join(LINES[: number + 1])) - 1
    content = WHOLE[:place] + b"\x0b" + WHOLE[place + 1 :]
    for end in (b"", LINES[0]):
        writer = mended(tmp_path / "log.jsonl", content + end)
        assert writer.salvaged.lost == []
        assert writer.salvaged.kept == LINES


def test_nuls_after_a_power_failure(tmp_path: Path) -> None:
    content = WHOLE[:1000] + bytes(len(WHOLE) - 1000)
    writer = mended(tmp_path / "log.jsonl", content)
    whole = WHOLE[:1000].count(b"\n")
    assert writer.salvaged.kept == LINES[:whole]
    assert writer.salvaged.lost == [whole + 1]


def test_a_cut_in_the_middle_of_a_good_line_loses_nothing(tmp_path: Path) -> None:
    writer = mended(tmp_path / "log.jsonl", WHOLE, length=len(WHOLE) - 20)
    assert (writer.salvaged.kept, writer.salvaged.lost, writer.salvaged.missing) == (LINES[:-1], [], 0)


def test_a_sector_that_cannot_be_read_costs_its_lines_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(WHOLE * 9)

    class BadSector(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 4096:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    monkeypatch.setattr(salvage.Path, "open", lambda path, *_, **__: BadSector(path))
    found = salvage_lines(path, len(WHOLE) * 9)
    assert len(found.lost) == 1
    before, after = WHOLE * 9, (WHOLE * 9)[8192:]
    assert found.kept == [
        *before[:4096].splitlines(keepends=True)[:-1],
        *after.splitlines(keepends=True)[1:],
    ]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9), length=st.integers(0, len(WHOLE) + 50))
def test_one_flipped_bit_costs_two_lines_at_the_most(
    tmp_path_factory: pytest.TempPathFactory, seed: int, length: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "log.jsonl"
    content, rng = bytearray(WHOLE), random.Random(seed)
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    found = salvage_lines(path, length)
    assert len(found.kept) >= WHOLE[:length].count(b"\n") - 2
    assert len(found.lost) <= 2
    path.write_bytes(b"".join(found.kept))
    assert not any(isinstance(record, Note) and record.topic == "damage" for record in read(path))


def test_a_full_disk_leaves_the_damaged_log_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(WHOLE[:-5])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="can't mend the log"):
        LogWriter.salvage(path, len(WHOLE))
    assert path.read_bytes() == WHOLE[:-5]


# An fsync that fails, and two threads.


def failing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = os.fsync, [OSError(errno.EIO, os.strerror(errno.EIO))]

    def fsync(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_after_a_failed_fsync_the_log_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    writer.append(RECORDS[0])
    before = path.stat().st_ino
    failing_once(monkeypatch)
    with pytest.raises(RunError, match="can't write the log: Input/output error"):
        writer.sync()
    writer.append(RECORDS[1])
    assert writer.sync() == writer.position()
    assert path.stat().st_ino != before
    writer.append(RECORDS[2])
    writer.sync()
    writer.close()
    assert list(read(path)) == RECORDS[:3]
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_what_the_kernel_dropped_is_never_called_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    writer.append(RECORDS[0])
    failing_once(monkeypatch)
    with pytest.raises(RunError):
        writer.sync()
    path.write_bytes(bytes(path.stat().st_size))  # the pages were dropped, the file reads as NULs
    for _ in range(3):
        with pytest.raises(RunError, match="the disk lost a part of the log") as caught:
            writer.sync()
    assert "tunewell resume" in caught.value.problems[0].fix
    writer.close()


def test_two_threads_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    begin = threading.Barrier(3)

    def append(topic: str) -> None:
        begin.wait()
        for number in range(2000):
            writer.append(Note(step=number, text="t" * 100, topic=topic))

    threads = [threading.Thread(target=append, args=(topic,)) for topic in ("a", "b")]
    for thread in threads:
        thread.start()
    begin.wait()
    for _ in range(200):
        length, digest = writer.position()
        with path.open("rb") as file:
            assert hashlib.sha256(file.read(length)).hexdigest() == digest
    for thread in threads:
        thread.join()
    writer.close()
    notes = [record for record in read(path) if isinstance(record, Note)]
    for topic in ("a", "b"):
        assert [note.step for note in notes if note.topic == topic] == list(range(2000))

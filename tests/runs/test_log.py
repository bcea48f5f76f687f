import errno
import hashlib
import math
import multiprocessing
import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewell.problems import RunError
from tunewell.records import Ended, Note, Step, encode
from tunewell.runs import log as log_module
from tunewell.runs.disk import DiskFullError
from tunewell.runs.log import EMPTY_DIGEST, LogWriter, read


def step(number, loss=0.5):
    return Step(
        step=number,
        cursor=number,
        epoch=0.1,
        stage=0,
        loss=loss,
        learning_rate=1e-4,
        gradient_norm=1.0,
        rows=32,
        tokens=999,
        seconds=0.1,
    )


def write(path, records):
    writer = LogWriter(path)
    for record in records:
        writer.append(record)
    writer.close()


def test_records_come_back_in_order(tmp_path):
    records = [
        step(1),
        Note(step=1, text="Zeile\nzwei — 语"),
        step(2, math.inf),
        Ended(step=2, status="failed", reason=""),
    ]
    write(tmp_path / "log.jsonl", records)
    assert list(read(tmp_path / "log.jsonl")) == records


def test_nan_stays_nan(tmp_path):
    write(tmp_path / "log.jsonl", [step(1, math.nan)])
    (record,) = read(tmp_path / "log.jsonl")
    assert math.isnan(record.loss)


def test_position_is_length_and_digest_of_the_file(tmp_path):
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    assert writer.position() == (0, EMPTY_DIGEST)
    for number in range(1, 2000):
        writer.append(step(number))
        if number % 500 == 0:
            assert writer.position() == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    writer.close()


def test_append_waits_in_memory_until_64_kib_or_a_tenth_of_a_second(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(log_module.time, "monotonic", lambda: now)
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    writer.append(step(1))
    assert path.stat().st_size == 0
    now = 100.2
    writer.append(step(2))
    assert len(list(read(path))) == 2
    line = encode(step(3))
    for _ in range(65536 // len(line) + 1):
        writer.append(step(3))
    assert path.stat().st_size > 65536
    writer.close()


def test_a_used_log_is_not_begun_again(tmp_path):
    path = tmp_path / "log.jsonl"
    path.touch()
    write(path, [step(1)])
    with pytest.raises(RunError, match="already holds records") as caught:
        LogWriter(path)
    assert "tunewell resume" in caught.value.problems[0].fix


def test_close_twice_is_harmless(tmp_path):
    writer = LogWriter(tmp_path / "log.jsonl")
    writer.close()
    writer.close()


def test_resume_trims_and_keeps_what_it_trimmed(tmp_path):
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    for number in (1, 2):
        writer.append(step(number))
    position = writer.position()
    writer.append(step(3))
    writer.sync()
    writer.close()
    with path.open("ab") as file:
        file.write(b'{"type":"st')  # killed within a write
    before = path.read_bytes()

    resumed = LogWriter.resume(path, *position)
    assert resumed.trimmed == tmp_path / "log.trimmed-1.jsonl"
    assert path.read_bytes() + resumed.trimmed.read_bytes() == before
    resumed.append(step(30))
    assert resumed.position() == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    resumed.close()
    assert [record.step for record in read(path)] == [1, 2, 30]
    assert [record.step for record in read(resumed.trimmed)] == [3]

    again = LogWriter.resume(path, *position)
    again.close()
    assert again.trimmed == tmp_path / "log.trimmed-2.jsonl"


def test_resume_with_nothing_after_the_commit_trims_nothing(tmp_path):
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    writer.append(step(1))
    position = writer.position()
    writer.close()
    resumed = LogWriter.resume(path, *position)
    resumed.close()
    assert resumed.trimmed is None
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_resume_at_the_empty_position_begins_again(tmp_path):
    path = tmp_path / "log.jsonl"
    write(path, [step(1)])
    LogWriter.resume(path, 0, EMPTY_DIGEST).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_resume_refuses_a_damaged_log_and_leaves_it_alone(tmp_path, damage):
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    writer.append(step(1))
    writer.append(step(2))
    position = writer.position()
    writer.close()
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[10] ^= 1
    elif damage == "cut":
        del content[-5:]
    path.write_bytes(content)
    if damage == "gone":
        path.unlink()
    with pytest.raises(RunError) as caught:
        LogWriter.resume(path, *position)
    words = {"flip": "is damaged", "cut": "ends 5 bytes too soon", "gone": "No such file"}[damage]
    assert words in str(caught.value)
    if damage != "gone":
        assert path.read_bytes() == bytes(content)


def test_a_missing_log_is_said_at_once(tmp_path):
    with pytest.raises(RunError, match="no log"):
        read(tmp_path / "log.jsonl")


def test_a_damaged_line_becomes_a_note_that_names_it(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [
        encode(step(1)),
        b"\x00" * 40 + b"\n",
        b'{"type":"from the future"}\n',
        b"\xff\xfe\n",
        encode(step(2)),
    ]
    path.write_bytes(b"".join(lines))
    records = list(read(path))
    assert [record.step for record in records] == [1, 1, 1, 1, 2]
    notes = records[1:4]
    assert all(isinstance(note, Note) and note.topic == "damage" for note in notes)
    assert [f"line {number} of log.jsonl" in note.text for number, note in enumerate(notes, 2)] == [True] * 3


def test_every_cut_of_the_last_line_is_read_without_it(tmp_path):
    path = tmp_path / "log.jsonl"
    whole = encode(step(1)) + encode(step(2))
    for end in range(len(encode(step(1))), len(whole) - 1):
        path.write_bytes(whole[:end])
        assert [record.step for record in read(path)] == [1]
    path.write_bytes(whole[:-1])  # only the newline is missing: nothing of the record is
    assert [record.step for record in read(path)] == [1, 2]


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), place=st.integers(0, 400))
def test_reading_never_fails_on_any_bytes(tmp_path_factory, content, place):
    path = tmp_path_factory.mktemp("fuzz") / "log.jsonl"
    good = encode(step(1)) + encode(step(2))
    path.write_bytes(good[:place] + content + good[place:])
    list(read(path))


class FullFile:
    """A file that takes `room` bytes and then says that the disk is full; other calls go to the real file."""

    def __init__(self, file, room):
        self.file, self.room = file, room
        self.closed = False

    def write(self, content):
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = content[: self.room]
        self.room -= len(taken)
        return self.file.write(taken)

    def close(self):
        self.file.close()
        self.closed = True


def test_records_refused_by_a_full_disk_are_written_once_there_is_room(tmp_path):
    path = tmp_path / "log.jsonl"
    writer = LogWriter(path)
    writer._file = FullFile(writer._file, room=100)
    writer.append(step(1))
    writer.append(step(2))
    with pytest.raises(DiskFullError, match="no space left"):
        writer.flush()
    assert path.stat().st_size == 100
    writer._file.room = 10_000
    writer.append(step(3))
    assert writer.position() == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    writer.close()
    assert [record.step for record in read(path)] == [1, 2, 3]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_dev_full_is_said_in_words():
    writer = LogWriter.__new__(LogWriter)
    from pathlib import Path

    writer._begin(Path("/dev/full"), 0, hashlib.sha256())
    writer.append(step(1))
    with pytest.raises(DiskFullError, match="free some space"):
        writer.flush()
    writer._unwritten = b""
    writer.close()


def _write_until_killed(path, told):
    writer = LogWriter(path)
    for number in range(1, 100):
        writer.append(step(number))
    writer.flush()
    told.set()
    signal.pause()


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_flushed_records_survive_sigkill(tmp_path):
    context = multiprocessing.get_context("fork")
    told = context.Event()
    process = context.Process(target=_write_until_killed, args=(tmp_path / "log.jsonl", told))
    process.start()
    assert told.wait(10)
    process.kill()
    process.join()
    assert len(list(read(tmp_path / "log.jsonl"))) == 99


def test_a_close_that_fails_is_said_in_words(tmp_path):
    log = LogWriter(tmp_path / "log.jsonl")
    os.close(log._file.fileno())
    with pytest.raises(RunError, match="can't close the log"):
        log.close()
    log.close()

import multiprocessing
import os
import signal
import socket

import msgspec
import pytest

from tunewell.problems import RunError
from tunewell.runs.folder import RunFolder
from tunewell.runs.lock import Holder, hold, holder

posix = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")
context = multiprocessing.get_context("fork") if os.name != "nt" else multiprocessing


def _hold_until_killed(path, held):
    with hold(path):
        held.set()
        signal.pause()


def _hold_with_a_worker(path, pipe):
    with hold(path):
        if os.fork() == 0:
            pipe.send(os.getpid())
        signal.pause()


def test_held_and_free_again(tmp_path):
    path = tmp_path / "lock"
    assert holder(path) is None
    with hold(path):
        found = holder(path)
        assert (found.pid, found.host) == (os.getpid(), socket.gethostname())
        with (
            pytest.raises(RunError, match=rf"held by process {os.getpid()} on .* since \d{{4}}-"),
            hold(path),
        ):
            pass
    assert holder(path) is None
    with hold(path):
        pass


def test_freed_when_the_body_raises(tmp_path):
    def fail():
        with hold(tmp_path / "lock"):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert holder(tmp_path / "lock") is None


@posix
def test_freed_by_the_kernel_at_sigkill(tmp_path):
    run = RunFolder.create(tmp_path / "demo", "", {})
    held = context.Event()
    process = context.Process(target=_hold_until_killed, args=(run.lock, held))
    process.start()
    assert held.wait(10)
    assert run.holder().pid == process.pid
    with pytest.raises(RunError, match=f"demo is held by process {process.pid}"), run.hold():
        pass
    process.kill()
    process.join()
    assert run.holder() is None
    with run.hold():
        assert run.holder().pid == os.getpid()


@posix
def test_a_forked_worker_does_not_keep_the_run_of_its_killed_parent(tmp_path):
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold_with_a_worker, args=(tmp_path / "lock", theirs))
    process.start()
    assert ours.poll(10)
    worker = ours.recv()
    try:
        assert holder(tmp_path / "lock").pid == process.pid  # the worker letting go does not free it
        process.kill()
        process.join()
        os.kill(worker, 0)  # it still lives
        assert holder(tmp_path / "lock") is None
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_holder_that_has_not_said_its_name_yet(tmp_path):
    with hold(tmp_path / "lock"):
        (tmp_path / "lock").write_bytes(b"")
        assert str(holder(tmp_path / "lock")) == "another process"


def test_a_shorter_name_replaces_a_longer_one(tmp_path):
    (tmp_path / "lock").write_bytes(b"x" * 1000)
    with hold(tmp_path / "lock"):
        assert isinstance(holder(tmp_path / "lock"), Holder)
        assert (tmp_path / "lock").stat().st_size < 200


def test_a_missing_folder_is_said_in_words(tmp_path):
    with pytest.raises(RunError, match="can't lock the run"), hold(tmp_path / "gone" / "lock"):
        pass


@pytest.mark.parametrize("since", [-1e300, 1e300, 0.0, -3600.0])
def test_a_holder_with_an_impossible_time_is_told_all_the_same(tmp_path, since):
    path = tmp_path / "lock"
    with hold(path):
        path.write_bytes(msgspec.json.encode(Holder(pid=7, host="here", since=since)))
        with pytest.raises(RunError, match="held by process 7 on here"), hold(path):
            pass


def test_a_damaged_name_does_not_hide_that_the_run_is_held(tmp_path):
    path = tmp_path / "lock"
    with hold(path):
        for content in (b"", b"\x00\x00", b'{"pid": "seven"}', b'{"host": "\xff"}', b"[]"):
            path.write_bytes(content)
            assert holder(path) == Holder()
            with pytest.raises(RunError, match="held by another process"), hold(path):
                pass

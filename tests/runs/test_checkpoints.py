import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from tunewell.problems import RunError
from tunewell.runs import checkpoints
from tunewell.runs.checkpoints import (
    clear_temporary,
    commits,
    newest_valid,
    pin,
    prune,
    unpin,
    verify,
    write_commit,
)
from tunewell.runs.disk import DiskFullError

FACTS = {"reason": "interval", "healthy": True, "log_length": 12, "log_digest": "ab", "nested": {"x": 0.1}}


def fill(folder):
    (folder / "model.safetensors").write_bytes(b"weights" * 1000)
    (folder / "state.json").write_text("{}")
    (folder / "deep").mkdir()
    (folder / "deep" / "rows.bin").write_bytes(b"")


def save(root, number, *, healthy=True, pinned=False, reason="interval"):
    commit = write_commit(root, number, number * 100, fill, {"healthy": healthy, "reason": reason})
    if pinned:
        pin(commit)
    return commit


def snapshot(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def numbers(root):
    return [commit.commit for commit in commits(root)]


def test_a_commit_holds_files_facts_and_their_digests(tmp_path):
    commit = write_commit(tmp_path / "checkpoints", 7, 500, fill, FACTS)
    assert commit.folder.name == "0007-step-500"
    assert (commit.commit, commit.step, commit.facts, commit.healthy) == (7, 500, FACTS, True)
    assert sorted(commit.files) == ["deep/rows.bin", "model.safetensors", "state.json"]
    assert commit.bytes == 7002
    assert commits(tmp_path / "checkpoints") == [commit]
    assert verify(commit) == []
    manifest = json.loads((commit.folder / "manifest.json").read_text())["manifest"]
    assert manifest["facts"]["log_length"] == 12


def test_the_order_is_by_number_not_by_step_or_spelling(tmp_path):
    for number, step in [(9, 900), (10, 300), (10_000, 400), (2, 1000)]:
        write_commit(tmp_path, number, step, fill, {})
    assert numbers(tmp_path) == [2, 9, 10, 10_000]


def test_no_commits_where_there_is_no_folder(tmp_path):
    assert commits(tmp_path / "none") == []
    assert newest_valid(tmp_path / "none") == (None, [])
    assert clear_temporary(tmp_path / "none") == []


def test_a_number_is_used_once(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(RunError, match="checkpoint 1 is there already"):
        write_commit(tmp_path, 1, 777, fill, {})
    assert numbers(tmp_path) == [1]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("error", [Killed(), KeyboardInterrupt(), ValueError("bug")])
def test_a_save_that_fails_in_the_middle_leaves_nothing_of_itself(tmp_path, error):
    save(tmp_path, 1)
    before = snapshot(tmp_path)

    def half(folder):
        fill(folder)
        raise error

    with pytest.raises(type(error)):
        write_commit(tmp_path, 2, 200, half, {})
    assert snapshot(tmp_path) == before
    assert os.listdir(tmp_path) == ["0001-step-100"]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EIO, RunError)])
def test_a_disk_that_fails_in_write_files(tmp_path, number, kind):
    save(tmp_path, 1)

    def full(folder):
        fill(folder)
        raise OSError(number, os.strerror(number))

    with pytest.raises(kind, match="can't save checkpoint 0002-step-200"):
        write_commit(tmp_path, 2, 200, full, {})
    assert os.listdir(tmp_path) == ["0001-step-100"]


@pytest.mark.skipif(os.name == "nt", reason="folders are not synced there")
def test_every_fsync_that_fails_fails_the_save_and_no_other(tmp_path, monkeypatch):
    save(tmp_path, 1)
    before = snapshot(tmp_path)
    real, calls = os.fsync, 0

    def count(descriptor):
        nonlocal calls
        calls += 1
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", count)
        save(tmp_path / "elsewhere", 1)
    assert calls == 3 + 1 + 2 + 1  # files, manifest, folders in the commit, the parent

    for failing in range(calls):
        left = failing

        def fail(descriptor):
            nonlocal left
            if left == 0:
                raise OSError(errno.EIO, "Input/output error")
            left -= 1
            real(descriptor)

        root = tmp_path / f"root-{failing}"
        save(root, 1)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            with pytest.raises(RunError, match="Input/output error"):
                save(root, 2)
        commit, said = newest_valid(root)
        assert said == []
        assert commit.commit == 1
        assert os.listdir(root) == ["0001-step-100"]
        assert not [name for name in os.listdir(root) if name.startswith(".")]
    assert {path: content for path, content in snapshot(tmp_path).items() if path in before} == before


def test_a_killed_save_is_ignored_and_cleared(tmp_path):
    save(tmp_path, 1)
    half = tmp_path / ".writing-0002-step-200"
    half.mkdir()
    fill(half)
    assert numbers(tmp_path) == [1]
    assert newest_valid(tmp_path)[0].commit == 1
    save(tmp_path, 2)  # writes over what the dead process left
    half.mkdir()
    (tmp_path / ".deleting-0000-step-0").mkdir()
    assert clear_temporary(tmp_path) == [".deleting-0000-step-0", ".writing-0002-step-200"]
    assert numbers(tmp_path) == [1, 2]


def _killed_while_saving(root):
    def half(folder):
        fill(folder)
        os.kill(os.getpid(), signal.SIGKILL)

    write_commit(root, 2, 200, half, {})


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_real_sigkill_in_a_save(tmp_path):
    save(tmp_path, 1)
    process = multiprocessing.get_context("fork").Process(target=_killed_while_saving, args=(tmp_path,))
    process.start()
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
    assert newest_valid(tmp_path)[0].commit == 1
    assert clear_temporary(tmp_path) == [".writing-0002-step-200"]


def test_every_flipped_bit_of_a_small_commit_is_noticed(tmp_path):
    def small(folder):
        (folder / "a").write_bytes(b"ab")

    commit = write_commit(tmp_path, 1, 1, small, {"log_length": 12, "healthy": True})
    for path in [commit.folder / "a", commit.folder / "manifest.json"]:
        content = path.read_bytes()
        for place in range(len(content)):
            for bit in range(8):
                flipped = bytearray(content)
                flipped[place] ^= 1 << bit
                path.write_bytes(flipped)
                same = commits(tmp_path) == [commit]  # a blank between two keys may change without harm
                assert verify(commit) != [] or (path.name == "manifest.json" and same)
        path.write_bytes(content)
    assert verify(commit) == []


@pytest.mark.parametrize(
    "damage", ["flip", "cut", "missing", "manifest cut", "manifest gone", "manifest nonsense"]
)
def test_a_damaged_newest_is_set_aside_and_the_one_before_serves(tmp_path, damage):
    save(tmp_path, 1)
    folder = save(tmp_path, 2).folder
    file = folder / ("manifest.json" if "manifest" in damage else "model.safetensors")
    content = bytearray(file.read_bytes())
    match damage.split()[-1]:
        case "flip":
            content[123] ^= 4
            file.write_bytes(content)
        case "cut":
            file.write_bytes(content[:-2])
        case "nonsense":
            file.write_bytes(b"\xff{}")
        case _:
            file.unlink()
    commit, said = newest_valid(tmp_path)
    assert commit.commit == 1
    assert len(said) == 1
    assert said[0].startswith(
        "checkpoint 0002-step-200 can't be used and was renamed to broken-0002-step-200: "
    )
    assert file.name in said[0]
    assert sorted(os.listdir(tmp_path)) == ["0001-step-100", "broken-0002-step-200"]
    again = save(tmp_path, 2)  # its number is free again, and a second broken one finds a name
    (again.folder / "state.json").unlink()
    assert "broken-0002-step-200-2" in newest_valid(tmp_path)[1][0]


def test_all_broken(tmp_path):
    for number in (1, 2):
        (save(tmp_path, number).folder / "state.json").write_text("{...}")
    commit, said = newest_valid(tmp_path)
    assert commit is None
    assert len(said) == 2


def test_prune_keeps_newest_newest_healthy_kept_and_pinned(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2, pinned=True)
    save(tmp_path, 3)
    save(tmp_path, 4)
    save(tmp_path, 5)
    save(tmp_path, 6, healthy=False)
    save(tmp_path, 7, healthy=False)
    assert prune(tmp_path, keep={3}, limit=3) == ["0001-step-100", "0004-step-400", "0006-step-600"]
    assert numbers(tmp_path) == [2, 3, 5, 7]
    assert prune(tmp_path, keep={3}, limit=1) == []


def test_prune_deletes_the_oldest_first_and_only_as_many_as_needed(tmp_path):
    for number in range(1, 6):
        save(tmp_path, number)
    assert prune(tmp_path, keep=set(), limit=5) == []
    assert prune(tmp_path, keep=set(), limit=4) == ["0001-step-100"]
    assert prune(tmp_path, keep=set(), limit=2) == ["0002-step-200", "0003-step-300"]


def test_a_deletion_cut_short_never_looks_like_a_commit(tmp_path, monkeypatch):
    for number in (1, 2):
        save(tmp_path, number)

    def killed(_path):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.shutil, "rmtree", killed)
        with pytest.raises(Killed):
            prune(tmp_path, keep=set(), limit=1)
    assert newest_valid(tmp_path) == (commits(tmp_path)[0], [])
    assert numbers(tmp_path) == [2]
    assert clear_temporary(tmp_path) == [".deleting-0001-step-100"]


def test_a_pin_stays_and_goes_and_is_no_damage(tmp_path):
    commit = save(tmp_path, 1)
    for _ in range(2):
        pin(commit)
        assert commits(tmp_path)[0].pinned
    assert verify(commit) == []
    assert newest_valid(tmp_path) == (commit, [])
    for _ in range(2):
        unpin(commit)
        assert not commits(tmp_path)[0].pinned


def test_a_pin_on_what_was_deleted_is_refused_in_words(tmp_path):
    old = save(tmp_path, 1)
    save(tmp_path, 2)
    prune(tmp_path, keep=set(), limit=1)
    for change in (pin, unpin):
        with pytest.raises(RunError, match="0001-step-100 was removed or moved"):
            change(old)


def test_a_pin_that_comes_while_pruning_is_heeded(tmp_path, monkeypatch):
    for number in (1, 2, 3):
        save(tmp_path, number)
    real = Path.rename

    def pinned_first(folder, target):
        if folder.name == "0001-step-100":
            pin(commits(tmp_path)[0])  # after `prune` has looked
        return real(folder, target)

    monkeypatch.setattr(Path, "rename", pinned_first)
    assert prune(tmp_path, keep=set(), limit=1) == ["0002-step-200"]
    assert [(commit.commit, commit.pinned) for commit in commits(tmp_path)] == [(1, True), (3, False)]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("interrupted", [{1}, {2, 3}, {4}, {1, 2, 3, 4, 5}])
def test_an_interrupted_run_keeps_what_its_undisturbed_twin_keeps(tmp_path, limit, interrupted):
    number = 0
    for step in range(6):
        healthy = step != 4
        save(tmp_path / "twin", step, healthy=healthy)
        prune(tmp_path / "twin", keep={0}, limit=limit)
        write_commit(tmp_path / "run", number, step * 100, fill, {"healthy": healthy, "reason": "interval"})
        prune(tmp_path / "run", keep={0}, limit=limit)
        number += 1
        if step in interrupted:
            passing = write_commit(
                tmp_path / "run", number, step * 100 + 50, fill, {"healthy": True, "reason": "signal"}
            )
            number += 1
            assert passing.passing
            assert not passing.healthy
            prune(tmp_path / "run", keep={0, passing.commit}, limit=limit)
            assert newest_valid(tmp_path / "run") == (passing, [])
        kept = [commit.step for commit in commits(tmp_path / "run") if not commit.passing]
        assert kept == [commit.step for commit in commits(tmp_path / "twin")]
    passing_left = [commit.step for commit in commits(tmp_path / "run") if commit.passing]
    assert passing_left == ([550] if 5 in interrupted else [])


def test_a_passing_commit_stays_while_pinned_or_kept(tmp_path):
    for number in (1, 2, 3):
        save(tmp_path, number, reason="signal", pinned=number == 1)
    save(tmp_path, 4)
    assert prune(tmp_path, keep={2}, limit=9) == ["0003-step-300"]


@pytest.mark.parametrize("moved", [True, False])
def test_a_removed_run_does_not_come_back_as_a_ruin(tmp_path, moved):
    root = tmp_path / "run" / "checkpoints"
    root.mkdir(parents=True)
    save(root, 1)
    if moved:
        (tmp_path / "run").rename(tmp_path / "elsewhere")
    else:
        checkpoints.shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunError, match="the folder run was removed or moved"):
        save(root, 2)
    assert not (tmp_path / "run").exists()


def test_a_run_removed_in_the_middle_of_a_save(tmp_path):
    root = tmp_path / "run" / "checkpoints"
    root.mkdir(parents=True)

    def removed(folder):
        fill(folder)
        checkpoints.shutil.rmtree(tmp_path / "run")

    with pytest.raises(RunError, match="the folder run was removed or moved"):
        write_commit(root, 1, 1, removed, {})
    assert not (tmp_path / "run").exists()


def test_facts_that_are_not_json_are_a_programming_error(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_commit(tmp_path, 1, 1, fill, {"loss": float("nan")})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors"])
def test_a_read_that_fails_once_does_not_cost_a_checkpoint(tmp_path, monkeypatch, name):
    save(tmp_path, 0)
    honest, failed = Path.open, []

    def failing(path, *args, **kwargs):
        if path.name == name and not failed:
            failed.append(path)
            raise OSError(errno.EIO, "Input/output error")
        return honest(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", failing)
    newest, said = newest_valid(tmp_path)
    assert (newest.commit, said) == (0, [])
    assert failed


def test_one_that_was_pinned_as_its_deletion_was_cut_short_is_put_back(tmp_path):
    commit = save(tmp_path, 0, pinned=True)
    commit.folder.rename(tmp_path / f".deleting-{commit.folder.name}")
    clear_temporary(tmp_path)
    assert numbers(tmp_path) == [0]
    assert verify(commits(tmp_path)[0]) == []

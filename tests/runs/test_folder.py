import errno
import json
import os
from pathlib import Path

import pytest

from tunewell.problems import RunError
from tunewell.runs.disk import DiskFullError, explained, write_durably
from tunewell.runs.folder import RunFolder, find, next_free, refuse_unusable


def test_create_writes_what_was_asked_and_where(tmp_path):
    run = RunFolder.create(tmp_path / "runs" / "demo", "model: minilm\n", {"python": "3.11"})
    assert run.name == "demo"
    assert run.recipe.read_text() == "model: minilm\n"
    assert json.loads(run.environment.read_text()) == {"python": "3.11"}
    assert sorted(os.listdir(run.path)) == ["checkpoints", "environment.json", "lock", "recipe.yaml", "rows"]
    names = [run.log, run.inbox, run.model, run.lock]
    assert [path.name for path in names] == ["log.jsonl", "inbox.jsonl", "model", "lock"]


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "demo").mkdir()
    assert RunFolder.create(tmp_path / "demo", "", {}).exists()


def test_a_used_folder_is_refused_with_the_way_on(tmp_path):
    RunFolder.create(tmp_path / "demo", "a: 1\n", {})
    with pytest.raises(RunError, match="holds a run") as caught:
        RunFolder.create(tmp_path / "demo", "b: 2\n", {})
    assert "tunewell resume demo" in str(caught.value)
    assert (tmp_path / "demo" / "recipe.yaml").read_text() == "a: 1\n"


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty") as caught:
        RunFolder.create(tmp_path, "", {})
    assert "resume" not in str(caught.value)


def test_a_creation_that_was_cut_short_anywhere_does_not_stand_in_the_way(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    for number, place in enumerate(["folder.lock.hold", "folder.write_durably", "disk.sync_folder"]):
        folder = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr(f"tunewell.runs.{place}", killed)
            with pytest.raises(Killed):
                RunFolder.create(folder, "a: 1\n", {})
        assert not RunFolder(folder).exists()
        refuse_unusable(folder)
        run = RunFolder.create(folder, "b: 2\n", {})
        assert run.recipe.read_text() == "b: 2\n"


def test_one_that_is_being_made_is_not_made_twice(tmp_path):
    run = RunFolder(tmp_path / "demo")
    run.path.mkdir()
    with run.hold(), pytest.raises(RunError, match="demo is held by process"):
        RunFolder.create(run.path, "", {})


@pytest.mark.parametrize("path", ["file", "file/run"])
def test_a_file_in_the_way(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="a file stands where"):
        RunFolder.create(tmp_path / path, "", {})


def test_a_read_only_place_is_said_in_words():
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    with pytest.raises(RunError, match="can't make the run's folder"):
        RunFolder.create(Path("/proc/demo"), "", {})


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_words_for_a_read_only_disk(number):
    error = explained(OSError(number, "x"), "save", Path("a"))
    assert "writing is not allowed" in str(error)
    assert "output_dir" in str(error)


def test_words_for_a_full_disk():
    error = explained(OSError(errno.ENOSPC, "x"), "save", Path("a"))
    assert isinstance(error, DiskFullError)
    assert error.problems[0].kind == "disk"


def test_write_durably_replaces_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_durably(path, b"old")

    def fail(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input"):
            write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_next_free(tmp_path):
    root = tmp_path / "runs"
    assert next_free(root, "movies") == root / "movies"
    (root / "movies").mkdir(parents=True)
    (root / "movies-2").touch()
    (root / "movies-4").mkdir()
    assert next_free(root, "movies") == root / "movies-3"
    assert next_free(root, "../my recipe: 1") == root / "my-recipe-1"
    assert next_free(root, "电影") == root / "电影"
    assert next_free(root, "///") == root / "run"


@pytest.fixture
def root(tmp_path):
    for name in ["movies", "movies-2", "tweets-long-name"]:
        RunFolder.create(tmp_path / "runs" / name, "", {})
    (tmp_path / "runs" / "not-a-run").mkdir()
    return tmp_path / "runs"


def test_find_by_path_name_and_beginning(root):
    assert find(str(root / "movies"), root="elsewhere").path == root / "movies"
    assert find("movies", root).path == root / "movies"
    assert find("tw", root).path == root / "tweets-long-name"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("movie", "begins the names of 2 runs"),
        ("mvies", "did you mean `movies`"),
        ("zzz", "there are `movies`, `movies-2`, `tweets-long-name`"),
        ("not-a-run", "no run"),
        ("", "no run"),
        ("a" * 5000, "no run"),
        ("nul\0", "no run"),
    ],
)
def test_find_nothing_says_what_is_near(root, name, words):
    with pytest.raises(RunError, match=words):
        find(name, root)


def test_find_without_runs(tmp_path):
    with pytest.raises(RunError, match="no runs yet"):
        find("x", tmp_path / "runs")

"""Seals: what `sha256sum -c` can check, and what it can't."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tunewell.problems import RunError
from tunewell.runs import sums
from tunewell.runs.disk import DiskFullError

AWKWARD = "line\nback\\slash\\nand\rreturn  two  spaces"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = [
        "a.txt",
        "deep/er/b.bin",
        "empty",
        "lock",
        "checkpoints/0001/c",
        ".hidden",
        "rows/checkpoints",
        "ümläut",
    ]
    if os.name != "nt":
        files.append(AWKWARD)
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"" if name == "empty" else name.encode())
    sums.write(tmp_path, leave_out={"lock", "checkpoints"})
    return tmp_path


def test_all_but_what_is_left_out_is_sealed(folder: Path) -> None:
    sealed = sums.read(folder)
    assert sealed is not None
    assert set(sealed) - {AWKWARD} == {"a.txt", "deep/er/b.bin", "empty", "rows/checkpoints", "ümläut"}
    assert sums.check(folder) == {}
    sums.write(folder, leave_out={"lock", "checkpoints"})
    assert sums.read(folder) == sealed


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_agrees(folder: Path) -> None:
    command = ["sha256sum", "--check", "--strict", sums.SUMS]
    good = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    assert (good.returncode, good.stderr) == (0, "")
    (folder / "a.txt").write_text("b")
    assert subprocess.run(command, check=False, cwd=folder, capture_output=True).returncode == 1


def test_damage_is_named(folder: Path) -> None:
    (folder / "a.txt").write_text("b")
    (folder / "deep" / "er" / "b.bin").unlink()
    (folder / "empty").unlink()
    (folder / "empty").mkdir()
    assert sums.check(folder) == {
        "a.txt": "is not what was sealed: its SHA-256 differs",
        "deep/er/b.bin": "is missing",
        "empty": "can't be read: Is a directory",
    }


def test_every_flipped_bit_of_the_list_is_told_from_one_in_a_file(folder: Path) -> None:
    path = folder / sums.SUMS
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        assert list(sums.check(folder)) == [sums.SUMS]
    for size in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert list(sums.check(folder)) == [sums.SUMS]


def test_the_seal_is_removed(folder: Path) -> None:
    for _ in range(2):
        sums.remove(folder)
        assert not (folder / sums.SUMS).exists()
    with pytest.raises(RunError, match="can't read the seal"):
        sums.check(folder)


def test_what_is_fixed_is_sealed_before_the_end(folder: Path) -> None:
    (folder / "recipe.yaml").write_text("model: x")
    sums.write(folder)
    sealed = sums.read(folder)
    (folder / "recipe.yaml").write_text("model: y")  # a narrowed seal blesses nothing
    for _ in range(2):
        sums.narrow(folder)
        assert sealed is not None
        assert sums.read(folder) == {"recipe.yaml": sealed["recipe.yaml"]}
        assert list(sums.check(folder)) == ["recipe.yaml"]
    sums.write(folder)
    assert list(sums.check(folder)) == ["recipe.yaml"]
    sums.write(folder, only=sums.FIXED)
    assert sums.check(folder) == {}
    assert list(sums.read(folder) or {}) == ["recipe.yaml"]
    (folder / sums.SUMS).write_bytes(b"")
    for _ in range(2):
        sums.narrow(folder)
        assert not (folder / sums.SUMS).exists()


def test_a_full_disk_is_said_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(os.listdir(folder))
    with pytest.raises(DiskFullError, match="can't seal the folder"):
        sums.write(folder)
    assert sorted(os.listdir(folder)) == before

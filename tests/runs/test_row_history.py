import errno
import math
import os
import struct

import pytest

from tunewell.problems import RunError
from tunewell.runs.disk import DiskFullError
from tunewell.runs.row_history import RowHistory, read_row_history

IDS = [10, 7, 2**40, 3]


def same(left, right):
    return [x if math.isfinite(x) else str(x) for x in left] == [
        x if math.isfinite(x) else str(x) for x in right
    ]


def test_losses_by_row_and_epoch(tmp_path):
    history = RowHistory(tmp_path / "rows", IDS)
    history.note(0, [7, 10], [0.5, math.inf])
    history.note(0, [3], [0.25])
    history.note(1, [7, 2**40], [0.125, 2.0])
    assert sorted(os.listdir(tmp_path / "rows")) == ["epoch-0000.bin", "ids.bin"]
    history.write()
    found = read_row_history(tmp_path / "rows")
    assert list(found) == IDS
    assert same(found[10], [math.inf, math.nan])
    assert found[7] == [0.5, 0.125]
    assert same(found[2**40], [math.nan, 2.0])
    assert same(found[3], [0.25, math.nan])


def test_the_format_is_plain_little_endian_float32(tmp_path):
    history = RowHistory(tmp_path, [1, 2])
    history.note(0, [2], [0.1])
    history.note(0, [1], [1.5])
    history.write()
    content = (tmp_path / "epoch-0000.bin").read_bytes()
    assert content[:-32] == struct.pack("<2f", 1.5, 0.1)
    assert (tmp_path / "ids.bin").read_bytes()[:-32] == struct.pack("<2q", 1, 2)


def test_an_epoch_without_a_row_is_a_gap(tmp_path):
    history = RowHistory(tmp_path, [1])
    history.note(2, [1], [0.5])
    history.write()
    (tmp_path / "epoch-0001.bin").unlink(missing_ok=True)
    assert same(read_row_history(tmp_path)[1], [math.nan, math.nan, 0.5])


def test_pack_and_unpack_go_back_bit_for_bit(tmp_path):
    history = RowHistory(tmp_path, IDS)
    history.note(0, IDS, [0.1, 0.2, math.nan, math.inf])
    history.note(1, [7], [0.7])
    packed = history.pack()
    history.note(1, [10, 3], [0.8, 0.9])
    history.note(2, [10], [9.0])
    undisturbed = (tmp_path / "epoch-0001.bin").read_bytes()

    resumed = RowHistory(tmp_path, IDS)
    resumed.unpack(packed)
    assert resumed.pack() == packed
    assert sorted(os.listdir(tmp_path)) == ["epoch-0000.bin", "ids.bin"]
    resumed.note(1, [10, 3], [0.8, 0.9])
    resumed.note(2, [10], [9.0])
    assert (tmp_path / "epoch-0001.bin").read_bytes() == undisturbed
    assert resumed.pack() == history.pack()


def test_nothing_written_is_an_empty_history(tmp_path):
    assert read_row_history(tmp_path / "none") == {}
    RowHistory(tmp_path, [1])
    assert read_row_history(tmp_path) == {}


@pytest.mark.parametrize("name", ["ids.bin", "epoch-0000.bin"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damage_is_named(tmp_path, name, damage):
    history = RowHistory(tmp_path, IDS)
    history.note(0, [7], [0.5])
    history.write()
    content = bytearray((tmp_path / name).read_bytes())
    content[5] ^= 1
    (tmp_path / name).write_bytes({"flip": bytes(content), "cut": bytes(content[:-3]), "empty": b""}[damage])
    with pytest.raises(RunError, match=f"{name} is damaged"):
        read_row_history(tmp_path)


def test_an_epoch_of_other_rows_is_named(tmp_path):
    history = RowHistory(tmp_path, IDS)
    history.write()
    RowHistory(tmp_path, [1, 2])
    with pytest.raises(RunError, match=r"holds 4 rows where ids\.bin holds 2"):
        read_row_history(tmp_path)


def test_an_epoch_that_the_disk_refuses_is_kept_packed_and_written_later(tmp_path, monkeypatch):
    history = RowHistory(tmp_path, [1, 2])
    history.note(0, [1, 2], [0.5, 0.25])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tunewell.runs.row_history.write_durably", full)
        for row in (1, 2):
            with pytest.raises(DiskFullError):
                history.note(1, [row], [4.0])
        packed = history.pack()
    resumed = RowHistory(tmp_path, [1, 2])
    resumed.unpack(packed)
    for each in (history, resumed):
        each.write()
        assert read_row_history(tmp_path) == {1: [0.5, 4.0], 2: [0.25, 4.0]}

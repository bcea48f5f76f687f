"""What every training row came to in every epoch: which rows are hard, mislabelled or forgotten.

On disk, ``rows/ids.bin`` holds the row ids as int64 and ``rows/epoch-0003.bin`` the losses of epoch 3 as float32
in the same order, NaN where a row was not seen; both little-endian, followed by the 32 bytes of their SHA-256. A history
of several numbers a row, such as ``rows/predicted-0003.bin``, holds one after the other, each of all rows.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from tunewell.problems import Problem, RunError
from tunewell.runs.disk import in_words, write_durably

N = TypeVar("N", int, float)

_IDS = "ids.bin"
_DIGEST_BYTES = 32
_EPOCH_BYTES = 8
_LOSSES = "epoch"
_EPOCH_NAME = re.compile(r"[a-z]+-(\d{4,})\.bin")
_UNLIKE = "is damaged: its SHA-256 is not the one it was written with"


class RowHistory:
    """Gathers losses, or other numbers, of the epoch under way, and writes each epoch once it is over.

    `rows` are the ids of the training rows, in the order of the training split; `name` is that of the files, and `width`
    how many numbers a row has.
    """

    def __init__(self, folder: Path, rows: Sequence[int], *, name: str = _LOSSES, width: int = 1) -> None:
        self._folder, self._name, self._width = folder, name, width
        self._place = {row: place for place, row in enumerate(rows)}
        assert len(self._place) == len(rows), "row ids must differ"
        self._epoch = 0
        self._losses = self._unseen()
        self._ended: dict[int, array[float]] = {}  # epochs that are over and not on disk yet
        with in_words("write per-row losses", folder):
            folder.mkdir(exist_ok=True)
            write_durably(folder / _IDS, seal(array("q", rows)))

    def note(self, epoch: int, rows: Sequence[int], *numbers: Iterable[float]) -> None:
        """Keep the losses of `rows` in `epoch` (from 0); the first row of a later epoch ends the one before.

        Raises `RunError` when the disk refuses an epoch that is over: it is kept, and each later call tries again.
        """
        assert epoch >= self._epoch, "epochs only go forward"
        if epoch > self._epoch:
            self._ended[self._epoch] = self._losses
            self._epoch = epoch
            self._losses = self._unseen()
        assert len(numbers) == self._width, "as many numbers a row as the files hold"
        for column, values in enumerate(numbers):
            first = column * len(self._place)
            for row, value in zip(rows, values, strict=True):
                self._losses[first + self._place[row]] = value
        self._write_ended()

    def write(self) -> None:
        """Write the epoch under way as it stands; at the end of a run the last one may be a part."""
        self._write_ended()
        self._write(self._epoch, self._losses)

    def _write_ended(self) -> None:
        for epoch in sorted(self._ended):
            self._write(epoch, self._ended[epoch])
            del self._ended[epoch]

    def _write(self, epoch: int, losses: array[float]) -> None:
        path = _epoch_file(self._folder, epoch, self._name)
        with in_words("write per-row losses", path):
            write_durably(path, seal(losses))

    def pack(self) -> bytes:
        """Return the epoch under way, for a checkpoint, and those before it that are not on disk yet."""
        epochs = {self._epoch: self._losses, **self._ended}
        return b"".join(
            epoch.to_bytes(_EPOCH_BYTES, "little") + _little_endian(losses)
            for epoch, losses in epochs.items()
        )

    def unpack(self, packed: bytes) -> None:
        """Go back to what `pack` returned, bit for bit; files of that epoch and later ones are deleted."""
        size = _EPOCH_BYTES + len(self._unseen()) * array("f").itemsize
        assert len(packed) % size == 0 < len(packed), "packed for other rows"
        epochs = {
            int.from_bytes(packed[at : at + _EPOCH_BYTES], "little"): _from_little_endian(
                packed[at + _EPOCH_BYTES : at + size], array("f")
            )
            for at in range(0, len(packed), size)
        }
        epoch = max(epochs)
        self._epoch, self._losses = epoch, epochs.pop(epoch)
        self._ended = epochs
        with in_words("delete per-row losses to be measured again", self._folder):
            for number, path in _epoch_files(self._folder, self._name):
                if number >= epoch:
                    path.unlink()

    def _unseen(self) -> array[float]:
        return array("f", [math.nan]) * (len(self._place) * self._width)


def read_row_history(folder: Path) -> dict[int, list[float]]:
    """Return the losses of each row by epoch, from the first to the last written; NaN: not seen.

    An empty dictionary when none were written; raises `RunError` naming a damaged file.
    """
    files = dict(_epoch_files(folder))
    if not files or not (folder / _IDS).exists():
        return {}
    rows = read_sealed(folder / _IDS, array("q"))
    unseen = array("f", [math.nan]) * len(rows)
    epochs = [
        read_sealed(files[number], array("f")) if number in files else unseen
        for number in range(max(files) + 1)
    ]
    for number, losses in enumerate(epochs):
        if len(losses) != len(rows):
            raise _damaged(files[number], f"holds {len(losses):,} rows where {_IDS} holds {len(rows):,}")
    return {row: list(losses) for row, losses in zip(rows, zip(*epochs, strict=True), strict=True)}


def read_rows(folder: Path) -> list[int] | None:
    """Return the ids of the training rows, in the order of the training split; None where none were written."""
    path = folder / _IDS
    return read_sealed(path, array("q")).tolist() if path.is_file() else None


def damage(folder: Path) -> dict[str, str]:
    """Return what is wrong with the files of row losses in `folder`, by file; reads them all."""
    problems: dict[str, str] = {}
    for path in sorted(folder.glob("*.bin")):
        try:
            sealed = path.read_bytes()
        except OSError as error:
            problems[path.name] = f"can't be read: {error.strerror or error}"
            continue
        if not _is_whole(sealed):
            problems[path.name] = _UNLIKE
    if _epoch_files(folder) and not (folder / _IDS).exists():
        problems[_IDS] = "is missing, so that nothing tells which rows the losses are of"
    return problems


def read_epochs(folder: Path, name: str = _LOSSES) -> dict[int, array[float]]:
    """Return the numbers of each epoch that was written, as they lie in its file; `RunError` names a damaged one."""
    return {number: read_sealed(path, array("f")) for number, path in _epoch_files(folder, name)}


def written_epochs(folder: Path, name: str = _LOSSES) -> list[int]:
    """Return the epochs of which there is a file, oldest first."""
    return [number for number, _ in _epoch_files(folder, name)]


def read_epoch(folder: Path, epoch: int, num_rows: int, name: str = _LOSSES, width: int = 1) -> array[float]:
    """Return the numbers of one epoch, (width × num_rows,); `RunError` names a file that is damaged or missing."""
    path = _epoch_file(folder, epoch, name)
    numbers = read_sealed(path, array("f"))
    if len(numbers) != width * num_rows:
        raise _damaged(path, f"holds {len(numbers):,} numbers where {_IDS} holds {num_rows:,} rows")
    return numbers


def _epoch_file(folder: Path, epoch: int, name: str) -> Path:
    return folder / f"{name}-{epoch:04d}.bin"


def _epoch_files(folder: Path, name: str = _LOSSES) -> list[tuple[int, Path]]:
    matches = [(_EPOCH_NAME.fullmatch(path.name), path) for path in folder.glob(f"{name}-*.bin")]
    return sorted((int(match[1]), path) for match, path in matches if match)


def seal(values: array[int] | array[float]) -> bytes:
    """Return `values` as the bytes of a file that `read_sealed` reads."""
    content = _little_endian(values)
    return content + hashlib.sha256(content).digest()


def read_sealed(path: Path, into: array[N]) -> array[N]:
    """Read the file at `path` into an empty array; raises `RunError` where it is damaged."""
    with in_words("read per-row losses", path):
        sealed = path.read_bytes()
    if not _is_whole(sealed):
        raise _damaged(path, _UNLIKE)
    return _from_little_endian(sealed[:-_DIGEST_BYTES], into)


def _is_whole(sealed: bytes) -> bool:
    return hashlib.sha256(sealed[:-_DIGEST_BYTES]).digest() == sealed[-_DIGEST_BYTES:]


def _little_endian(values: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _from_little_endian(content: bytes, into: array[N]) -> array[N]:
    into.frombytes(content)
    if sys.byteorder == "big":
        into.byteswap()
    return into


def _damaged(path: Path, what: str) -> RunError:
    return RunError(
        Problem("run", f"{path.name} {what}", str(path), fix="training and its result are not affected")
    )

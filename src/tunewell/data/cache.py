"""Encoded rows in memory-mapped files, keyed by content: tokenized once, then read by any number of runs.

A cache entry is a folder with one raw file an array and `meta.json` (shapes, sizes, a hash of each). It is written
to a temporary folder and renamed, so that processes may race: whoever comes second takes the first's. An entry
that does not verify is built anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import platformdirs

from tunewell.data.example import Example, Target
from tunewell.data.refusal import refuse_bad
from tunewell.data.table import BadRow
from tunewell.problems import DataError, Problem

VERSION = 1
"""Of the layout; part of every entry's name."""
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One encoded example: token ids, token types for pairs if the model wants them, target, whether it was cut."""

    ids: list[int]
    type_ids: list[int] | None
    target: Target
    truncated: bool


class Encoded:
    """The encoded rows of a split, in the order of its examples.

    `lengths` int32 (rows,) in tokens; `targets` int64 (rows,), float32 (rows,) for scores, or float32
    (rows, classes) of zeros and ones for several labels; `rows` int64 (rows,) row ids; `truncated` bool (rows,).
    """

    def __init__(self, arrays: dict[str, npt.NDArray[Any]], places: list[str]) -> None:
        self.targets = arrays["targets"]
        self.rows = arrays["rows"]
        self.truncated = arrays["truncated"]
        self.lengths: npt.NDArray[np.int32] = np.diff(arrays["offsets"]).astype(np.int32)
        self._ids = arrays["ids"]
        self._type_ids = arrays.get("type_ids")
        self._offsets = arrays["offsets"]
        self._places = places

    def __len__(self) -> int:
        return len(self.lengths)

    def ids(self, i: int) -> npt.NDArray[np.int32]:
        """Return the token ids of row `i` of the split, int32 (length,), read-only."""
        return self._ids[self._offsets[i] : self._offsets[i + 1]]

    def type_ids(self, i: int) -> npt.NDArray[np.uint8] | None:
        """Return the token types of row `i`, uint8 (length,), read-only; None when the encoder gave none."""
        return None if self._type_ids is None else self._type_ids[self._offsets[i] : self._offsets[i + 1]]

    def place(self, i: int) -> str:
        """Return where row `i` comes from: ``file:line``."""
        return self._places[i]


def cache_folder() -> Path:
    """Return where entries live: `TUNEWELL_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("TUNEWELL_CACHE") or platformdirs.user_cache_dir("tunewell"))


def encode_split(
    examples: Sequence[Example],
    encode: Callable[[list[Example]], list[EncodedRow]],
    key: str,
    folder: Path | None = None,
    num_classes: int = 0,
) -> Encoded:
    """Return `examples` encoded, from the cache in `folder` (default: `cache_folder()`) or through `encode`.

    `key` names all that `encode` depends on (tokenizer, lengths, truncation); the examples' content is added here.
    `encode` gets chunks in order and returns a row for each example. `num_classes` is the width of `targets` where a
    target is a list of class indexes. Raises `DataError` of kind disk when the folder can't be written.
    """
    folder = cache_folder() if folder is None else folder
    entry = folder / f"encoded-v{VERSION}-{_name(examples, key, num_classes)}"
    arrays = _load(entry)
    if arrays is None:
        try:
            arrays = _build(entry, examples, encode, num_classes)
        except OSError as error:
            what = f"can't write the cache of encoded rows: {error.strerror or error}"
            fix = "free some space, or set the environment variable TUNEWELL_CACHE to a folder with room"
            raise DataError(Problem("disk", what, file=str(folder), fix=fix)) from error
    return Encoded(arrays, [example.place for example in examples])


def _name(examples: Sequence[Example], key: str, num_classes: int) -> str:
    encoder = msgspec.json.Encoder()
    digest = hashlib.blake2b(encoder.encode([key, num_classes]), digest_size=16)
    for e in examples:
        digest.update(encoder.encode([e.row, e.text, e.text_pair, e.target]))
    return digest.hexdigest()


def _build(
    entry: Path,
    examples: Sequence[Example],
    encode: Callable[[list[Example]], list[EncodedRow]],
    num_classes: int,
) -> dict[str, npt.NDArray[Any]]:
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    try:
        _write(temporary, examples, _encoded(examples, encode), num_classes)
        _publish(temporary, entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    arrays = _load(entry)
    if arrays is None:
        raise OSError("the entry just written does not read back")
    return arrays


def _encoded(
    examples: Sequence[Example], encode: Callable[[list[Example]], list[EncodedRow]]
) -> Iterator[list[EncodedRow]]:
    problems: list[Problem] = []
    for start in range(0, len(examples), _CHUNK):
        chunk = list(examples[start : start + _CHUNK])
        try:
            rows = encode(chunk)
        except DataError as error:  # go on, so that all such rows are counted
            problems += error.problems
            continue
        assert len(rows) == len(chunk), f"encode returned {len(rows)} rows for {len(chunk)} examples"
        yield rows
    if problems:
        refuse_bad([BadRow("such rows", problem) for problem in problems], way_out="")


def _write(
    folder: Path, examples: Sequence[Example], chunks: Iterator[list[EncodedRow]], num_classes: int
) -> None:
    """Write the arrays: tokens as they come, since they are many, the rest at the end."""
    lengths: list[int] = []
    targets: list[Target] = []
    truncated: list[bool] = []
    typed = False
    with (folder / "ids.bin").open("wb") as ids_file, (folder / "type_ids.bin").open("wb") as types_file:
        for rows in chunks:
            typed = rows[0].type_ids is not None
            ids_file.write(np.array([t for row in rows for t in row.ids], dtype=np.int32).tobytes())
            types_file.write(
                np.array([t for row in rows for t in row.type_ids or ()], dtype=np.uint8).tobytes()
            )
            lengths += [len(row.ids) for row in rows]
            targets += [row.target for row in rows]
            truncated += [row.truncated for row in rows]
    tokens = sum(lengths)
    arrays = {
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "targets": _target_array(targets, num_classes),
        "rows": np.array([e.row for e in examples], dtype=np.int64),
        "truncated": np.array(truncated, dtype=np.bool_),
    }
    shapes: dict[str, Any] = {"ids": ["int32", [tokens]]}
    if typed:
        shapes["type_ids"] = ["uint8", [tokens]]
    for name, array in arrays.items():
        (folder / f"{name}.bin").write_bytes(array.tobytes())
        shapes[name] = [str(array.dtype), list(array.shape)]
    meta = {
        name: {"dtype": dtype, "shape": shape, "hash": _hash_file(folder / f"{name}.bin")}
        for name, (dtype, shape) in shapes.items()
    }
    (folder / "meta.json").write_text(json.dumps({"version": VERSION, "arrays": meta}))


def _target_array(targets: Sequence[Target], num_classes: int) -> npt.NDArray[Any]:
    if targets and isinstance(targets[0], list):
        several = np.zeros((len(targets), num_classes), dtype=np.float32)
        for i, classes in enumerate(targets):
            several[i, np.asarray(classes, dtype=np.int64)] = 1.0
        return several
    return np.array(targets, dtype=np.float32 if targets and isinstance(targets[0], float) else np.int64)


def _publish(temporary: Path, entry: Path) -> None:
    """Rename `temporary` to `entry`; a whole entry that another process put there first stays, a broken one goes."""
    try:
        temporary.rename(entry)
    except OSError:
        if not entry.exists():
            raise
        if _load(entry) is None:
            broken = Path(tempfile.mkdtemp(prefix=f".{entry.name}-broken-", dir=entry.parent))
            try:
                entry.rename(broken / "entry")
                temporary.rename(entry)
            finally:
                shutil.rmtree(broken, ignore_errors=True)


def _load(entry: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays of a whole entry, memory-mapped and read-only; None when it is absent or broken."""
    try:
        described = json.loads((entry / "meta.json").read_text())["arrays"]
        arrays = {}
        for name, about in described.items():
            path = entry / f"{name}.bin"
            dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
            size = dtype.itemsize * int(np.prod(shape))
            if path.stat().st_size != size or _hash_file(path) != about["hash"]:
                return None
            arrays[name] = np.memmap(path, dtype, "r", shape=shape) if size else np.empty(shape, dtype)
        return arrays if {"ids", "offsets", "targets", "rows", "truncated"} <= arrays.keys() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

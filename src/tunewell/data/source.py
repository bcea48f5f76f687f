"""One input file: found, decompressed within bounds, decoded."""

from __future__ import annotations

import codecs
import glob
import gzip
import lzma
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tunewell.problems import DataError, Problem, nearest

MAX_BYTES = 8 << 30
"""Largest decompressed file that is read, in bytes."""
MAX_RATIO = 300
"""A larger expansion than this, beyond `SMALL`, is taken for a decompression bomb; text shrinks 3 to 30 times."""
SMALL = 256 << 20
"""Decompressed size in bytes up to which any ratio is accepted."""
_CHUNK = 4 << 20
_COMPRESSED = (".gz", ".xz")
_FOREIGN = {
    b"PAR1": ("a Parquet file", "name it .parquet"),
    b"PK\x03\x04": ("a zip or Excel file", "save it as CSV (UTF-8)"),
    b"\x1f\x8b": ("compressed by gzip", "name it .gz"),
    b"\xfd7zXZ": ("compressed by xz", "name it .xz"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A place to read from: `name` as messages show it, `location` as it is opened (a path, or a hub name)."""

    name: str
    location: str
    max_bytes: int = MAX_BYTES
    skip_bad: bool = False
    """Read bytes that are not UTF-8 as halves of characters, which make their rows bad, in place of refusing."""

    def read(self) -> bytes:
        """Return the whole content, decompressed; raises `DataError` when damaged, too big or not readable."""
        path = Path(self.location)
        try:
            packed = path.stat().st_size
            with _open(path) as stream:
                return self._drain(stream, packed)
        except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
            raise self.error(
                f"the compressed file is damaged or cut off ({error})", "copy it again"
            ) from error
        except OSError as error:
            raise self.error(f"can't read the file: {error.strerror or error}") from error

    def text(self) -> str:
        """Return the content as text, a UTF-8 byte order mark dropped.

        Raises `DataError` with the byte offset where it is not UTF-8, unless `skip_bad` lets single rows go.
        """
        content = self.read()
        if not content.removeprefix(codecs.BOM_UTF8).strip():
            raise self.error("the file is empty", "give a file that holds rows")
        for magic, (what, fix) in _FOREIGN.items():
            if content.startswith(magic):
                raise self.error(f"this is not text but {what}", fix)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise self._not_utf8("byte 0 begins a UTF-16 mark", "UTF-16")
        if content[:4096].count(0) * 4 > len(content[:4096]):
            raise self._not_utf8(f"every other byte is 0, first at byte {content.index(0)}", "UTF-16LE")
        content = content.removeprefix(codecs.BOM_UTF8)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            if self.skip_bad:
                return content.decode(errors="surrogateescape")
            line_start = content.rfind(b"\n", 0, error.start) + 1
            line = content.count(b"\n", 0, error.start) + 1
            what = f"byte {error.start} (0x{content[error.start]:02x})"
            if error.end == len(content) and error.reason == "unexpected end of data":
                raise self.error(
                    f"the file ends inside a character at {what}", "copy it again", line
                ) from error
            likely = _likely_encoding(content[line_start : line_start + 65536])
            raise self._not_utf8(f"{what} can't stand there", likely, line) from error

    def error(self, message: str, fix: str = "", line: int | None = None) -> DataError:
        """Return (not raise) the error that this file can't be used."""
        return DataError(Problem("data", message, file=self.name, line=line, fix=fix))

    def check_size(self, size: int, packed: int) -> None:
        """Raise `DataError` where `size` bytes are too many to come out of `packed` ones."""
        if size > self.max_bytes:
            raise self.error(f"more than {self.max_bytes:,} bytes when read", "split it into several files")
        if size > SMALL and size > packed * MAX_RATIO:
            what = f"expands to more than {MAX_RATIO} times its size: a decompression bomb?"
            raise self.error(what, "decompress it yourself if you trust it")

    def _not_utf8(self, what: str, likely: str, line: int | None = None) -> DataError:
        fix = f"likely {likely}; convert it: iconv -f {likely} -t UTF-8 {self.name} > new-file"
        return self.error(f"not UTF-8: {what}", fix, line)

    def _drain(self, stream: BinaryIO, packed: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while chunk := stream.read(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            self.check_size(size, packed)
        return b"".join(chunks)


def find(name: str, base: Path) -> list[Source]:
    """Return the files that `name` stands for: a path or a glob, relative to `base`; sorted, never empty.

    Raises `DataError` that names the folder and the nearest name in it.
    """
    path, shown_name = base / Path(name).expanduser(), _shown(name)
    if os.path.isfile(path):  # which, unlike Path.is_file, takes any name
        return [Source(shown_name, str(path))]
    if os.path.isdir(path):
        inside = sorted(p.name for p in path.iterdir() if p.is_file())[:5]
        fix = f"name its files, such as {shown_name.rstrip('/')}/*{Path(inside[0]).suffix}" if inside else ""
        raise DataError(Problem("data", "this is a folder, not a file", file=shown_name, fix=fix))
    if glob.has_magic(name):
        found = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        shown = [
            (p, _shown(str(p)) if Path(name).is_absolute() else _relative(p, base))
            for p in found
            if p.is_file()
        ]
        if shown:
            return [Source(short, str(p)) for p, short in shown]
        raise _missing(shown_name, path, "no file matches")
    raise _missing(shown_name, path, "no such file")


def stem_suffix(name: str) -> str:
    """Return the suffix that tells the format, in lower case without dot: ``jsonl`` of ``a.JSONL.xz``."""
    path = Path(name)
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower().removeprefix(".")


def _open(path: Path) -> BinaryIO:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.open(path))
    return path.open("rb")


def _shown(name: str) -> str:
    """Return how a file is named to people: as they gave it, but short where it lies below the current folder."""
    return _relative(Path(name), Path.cwd()) if Path(name).is_absolute() else name


def _relative(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _missing(name: str, path: Path, message: str) -> DataError:
    folder = path.parent
    while glob.has_magic(folder.name):
        folder = folder.parent
    if not os.path.isdir(folder):
        beside = (
            sorted(p.name for p in folder.parent.iterdir() if p.is_dir())
            if os.path.isdir(folder.parent)
            else []
        )
        guess = nearest(folder.name, beside)
        fix = f"did you mean the folder `{guess}`?" if guess else "check the path"
        return DataError(
            Problem("data", f"{message}: there is no folder {_shown(str(folder))}", file=name, fix=fix)
        )
    inside = sorted(p.name for p in folder.iterdir() if p.is_file())
    guess = nearest(path.name, inside)
    if guess:
        fix = f"did you mean `{guess}`?"
    else:
        fix = f"files there: {_listed(inside)}" if inside else "the folder holds no files"
    where = "the current folder" if folder.resolve() == Path.cwd() else _shown(str(folder))
    return DataError(Problem("data", f"{message} in {where}", file=name, fix=fix))


def _listed(names: Iterable[str], most: int = 5) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def _likely_encoding(sample: bytes) -> str:
    """Guess from the lines around the first bad byte: GB 18030 when they read as Chinese, else a Western one."""
    sample = sample[: sample.rfind(b"\n") + 1] or sample
    try:
        high = [c for c in sample.decode("gb18030") if ord(c) > 127]
        if high and sum(
            "\u4e00" <= c <= "\u9fff" or "\u3000" <= c <= "\u303f" or c > "\uff00" for c in high
        ) > 0.9 * len(high):
            return "GB18030"
    except UnicodeDecodeError:
        pass
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "ISO-8859-1"
    return "CP1252"

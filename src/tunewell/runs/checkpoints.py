"""Commits: checkpoints that are whole or not there, numbered in the order they were made.

A commit is written in a temporary folder, every file forced to the disk, then a manifest with sizes and
SHA-256 digests, and only then renamed to its name. What it holds is the caller's.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tunewell.problems import Problem, RunError
from tunewell.runs.disk import in_words, sync_file, sync_folder
from tunewell.runs.sums import digest

T = TypeVar("T")

MANIFEST = "manifest.json"
PINNED = "pinned"
"""A file of this name in a commit's folder keeps it from being pruned."""
PASSING = frozenset({"signal", "pause"})
"""Reasons of commits that are made for an interruption alone."""

_WRITING = ".writing-"
_DELETING = ".deleting-"
_BROKEN = "broken-"
_UNSEALED = "is missing or damaged"
_NAME = re.compile(r"(\d{4,})-step-(\d+)")


class StoredFile(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 of a file as it was written."""

    bytes: int
    sha256: str


class Commit(msgspec.Struct, frozen=True):
    """A checkpoint that is durable: `facts` are what its writer noted in the manifest."""

    folder: Path
    commit: int
    step: int
    files: dict[str, StoredFile]
    facts: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Size of all files, the manifest not counted."""
        return sum(file.bytes for file in self.files.values())

    @property
    def healthy(self) -> bool:
        """Whether no fault was open when it was made (fact ``healthy``): a place to roll back to."""
        return self.facts.get("healthy") is True and not self.passing

    @property
    def passing(self) -> bool:
        """Whether it was made for an interruption alone: an undisturbed run would not have it, nor keep it."""
        return self.facts.get("reason") in PASSING

    @property
    def pinned(self) -> bool:
        """Whether a person asked to keep it."""
        return (self.folder / PINNED).exists()


class _Manifest(msgspec.Struct, frozen=True):
    commit: int
    step: int
    files: dict[str, StoredFile]
    facts: dict[str, Any]


class _Sealed(msgspec.Struct, frozen=True):
    """What is in the file: the manifest's bytes and their digest, so that a flipped bit in it shows too."""

    manifest: msgspec.Raw
    sha256: str


def write_commit(
    root: Path, commit: int, step: int, write_files: Callable[[Path], None], facts: Mapping[str, Any]
) -> Commit:
    """Make a commit durable in `root` and return it.

    `write_files` is given an empty folder to fill; `facts` must be JSON with finite numbers: ``reason``,
    ``healthy``, ``log_length`` and ``log_digest`` are known names. Raises `DiskFullError` or another `RunError` when
    the disk fails, the number is used or the run's folder is gone; then, as after any exception of
    `write_files`, nothing remains of it and all earlier commits are as they were.
    """
    name = f"{commit:04d}-step-{step}"
    folder, temporary = root / name, root / f"{_WRITING}{name}"
    with in_words(f"save checkpoint {name}", root), _unless_removed(root.parent), ExitStack() as undo:
        root.mkdir(exist_ok=True)  # not its parents: a run that was removed must not come back as a ruin
        if any(number == commit for number, _, _ in _named(root)):
            raise RunError(Problem("run", f"checkpoint {commit} is there already", str(root)))
        shutil.rmtree(temporary, ignore_errors=True)  # left by a process that died here
        temporary.mkdir()
        undo.callback(shutil.rmtree, temporary, ignore_errors=True)
        write_files(temporary)
        files = {path.relative_to(temporary).as_posix(): _stored(path) for path in _files_below(temporary)}
        manifest = _Manifest(commit, step, files, dict(facts))
        (temporary / MANIFEST).write_bytes(_seal(manifest))
        sync_file(temporary / MANIFEST)
        for inner in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
            sync_folder(inner)
        temporary.rename(folder)
        undo.callback(folder.rename, temporary)  # undone first: a name that may not last is no commit
        sync_folder(root)
        undo.pop_all()
    return Commit(folder, commit, step, files, manifest.facts)


def commits(root: Path) -> list[Commit]:
    """Return the commits in `root` whose manifest is whole, oldest first; their files are not read."""
    found = [_opened(folder) for _, _, folder in _named(root)]
    return [commit for commit in found if commit is not None]


def verify(commit: Commit) -> list[str]:
    """Return what is wrong with the files of `commit`, one sentence each; reads them all."""
    return [f"{name} {problem}" for name, problem in damage(commit).items()]


def damage(commit: Commit) -> dict[str, str]:
    """Return what is wrong with the files of `commit`, by file; reads them all."""
    if _opened(commit.folder) is None:
        return {MANIFEST: _UNSEALED}
    problems = {}
    for name, stored in commit.files.items():
        try:
            problem = _again(partial(_problem, commit.folder / name, stored))
        except FileNotFoundError:
            problem = "is missing"
        except OSError as error:
            problem = f"can't be read: {error.strerror or error}"
        if problem is not None:
            problems[name] = problem
    return problems


def damaged_manifests(root: Path) -> list[Path]:
    """Return the folders named as commits whose manifest is missing or damaged, so that nothing tells what they hold."""
    return [folder for _, _, folder in _named(root) if _opened(folder) is None]


def leftovers(root: Path) -> list[Path]:
    """Return the folders that interrupted saves and deletions left, and broken commits that were set aside."""
    return [path for path in _entries(root) if path.name.startswith((_WRITING, _DELETING, _BROKEN))]


def newest_valid(root: Path) -> tuple[Commit | None, list[str]]:
    """Return the newest commit that verifies, and a sentence for each newer one that did not.

    Those are renamed to ``broken-<name>``: set aside, not deleted.
    """
    said: list[str] = []
    for _, _, folder in reversed(_named(root)):
        commit = _opened(folder)
        problems = [f"{MANIFEST} {_UNSEALED}"] if commit is None else verify(commit)
        if commit is not None and not problems:
            return commit, said
        said.append(set_aside(folder, "; ".join(problems)))
    return None, said


def pin(commit: Commit) -> None:
    """Keep `commit` from being pruned, durably; harmless when repeated, and while the run trains."""
    with in_words(f"pin checkpoint {commit.folder.name}", commit.folder), _unless_removed(commit.folder):
        (commit.folder / PINNED).touch()
        sync_folder(commit.folder)


def unpin(commit: Commit) -> None:
    """Let `commit` be pruned again; harmless when it is not pinned."""
    with in_words(f"unpin checkpoint {commit.folder.name}", commit.folder), _unless_removed(commit.folder):
        (commit.folder / PINNED).unlink(missing_ok=True)
        sync_folder(commit.folder)


def prune(root: Path, keep: Collection[int], limit: int) -> list[str]:
    """Delete the oldest commits until `limit` are left, and return the names of those deleted.

    Never deleted: the newest, the newest healthy one, those numbered in `keep` (such as the best) and pinned
    ones; pinned ones don't count towards `limit`. Passing ones don't either, and go as soon as there is a newer
    one: a run that was interrupted keeps what its undisturbed twin keeps.
    """
    present = commits(root)
    lasting = [commit for commit in present if not commit.passing]
    healthy = [commit for commit in lasting if commit.healthy]
    newest = [*present[-1:], *lasting[-1:], *healthy[-1:]]
    protected = {*keep, *(commit.commit for commit in newest)}
    unpinned = [commit for commit in lasting if not commit.pinned]
    deletable = [commit for commit in unpinned if commit.commit not in protected]
    passing = [c for c in present if c.passing and not c.pinned and c.commit not in protected]
    doomed = [*passing, *deletable[: max(0, len(unpinned) - limit)]]
    with in_words("delete old checkpoints", root):
        deleted = [commit.folder.name for commit in doomed if _delete(commit.folder)]
    return sorted(deleted)


def _delete(folder: Path) -> bool:
    """Delete a commit and return True; not one that was pinned a moment ago."""
    # Renamed first: a half-deleted folder must never look like a commit.
    doomed = folder.with_name(f"{_DELETING}{folder.name}")
    folder.rename(doomed)
    if (doomed / PINNED).exists():
        doomed.rename(folder)
        return False
    shutil.rmtree(doomed)
    return True


def clear_temporary(root: Path) -> list[str]:
    """Delete what interrupted saves and deletions left, and return its names; only for the run's holder.

    A commit that was pinned as it was about to be deleted is put back.
    """
    left = [path for path in _entries(root) if path.name.startswith((_WRITING, _DELETING))]
    with in_words("delete temporary folders", root):
        for path in left:
            if path.name.startswith(_DELETING) and (path / PINNED).exists():
                path.rename(path.with_name(path.name.removeprefix(_DELETING)))
            else:
                shutil.rmtree(path)
    return [path.name for path in left]


@contextmanager
def _unless_removed(folder: Path) -> Iterator[None]:
    """Say it when something is missing because `folder` is: removed or moved by somebody."""
    try:
        yield
    except FileNotFoundError as error:
        if folder.is_dir():
            raise
        fix = "bring it back under this name, then go on with `tunewell resume`"
        message = f"the folder {folder.name} was removed or moved"
        raise RunError(Problem("run", message, str(folder), fix=fix)) from error


def _seal(manifest: _Manifest) -> bytes:
    text = json.dumps(msgspec.to_builtins(manifest), indent=2, allow_nan=False).encode()
    return b'{"manifest": %b,\n "sha256": "%b"}\n' % (text, hashlib.sha256(text).hexdigest().encode())


def _opened(folder: Path) -> Commit | None:
    try:
        sealed = msgspec.json.decode(_again((folder / MANIFEST).read_bytes), type=_Sealed)
        text = bytes(sealed.manifest)
        if hashlib.sha256(text).hexdigest() != sealed.sha256:
            return None
        manifest = msgspec.json.decode(text, type=_Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Commit(folder, manifest.commit, manifest.step, manifest.files, manifest.facts)


def _problem(path: Path, stored: StoredFile) -> str | None:
    size = path.stat().st_size
    if size != stored.bytes:
        return f"has {size:,} bytes, not {stored.bytes:,}"
    if digest(path) != stored.sha256:
        return "is damaged: its SHA-256 is not the one it was written with"
    return None


def _again(read: Callable[[], T]) -> T:
    """Return what `read` returns, tried once more where the disk fails: an error may pass, and a checkpoint is dear."""
    try:
        return read()
    except FileNotFoundError:
        raise
    except OSError:
        return read()


def _named(root: Path) -> list[tuple[int, int, Path]]:
    """Return (commit, step, folder) of every folder named as a commit, oldest first."""
    matches = [(_NAME.fullmatch(path.name), path) for path in _entries(root)]
    return sorted((int(match[1]), int(match[2]), path) for match, path in matches if match)


def _entries(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _stored(path: Path) -> StoredFile:
    sync_file(path)
    return StoredFile(path.stat().st_size, digest(path))


def set_aside(folder: Path, why: str) -> str:
    """Rename a commit that can't be used to ``broken-<name>``, and return a sentence that says so."""
    aside, number = folder.with_name(f"{_BROKEN}{folder.name}"), 1
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{_BROKEN}{folder.name}-{number}")
    with in_words("set a broken checkpoint aside", folder):
        folder.rename(aside)
        sync_folder(folder.parent)
    return f"checkpoint {folder.name} can't be used and was renamed to {aside.name}: {why}"

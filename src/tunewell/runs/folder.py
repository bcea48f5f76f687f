"""A run's directory: the names in it, making one, finding one, holding one."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import errno
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tunewell.problems import Problem, RunError
from tunewell.runs import lock
from tunewell.runs.disk import DiskFullError, in_words, sync_folder, temporary_of, write_durably
from tunewell.runs.lock import Holder

_TRIAL_BYTES = 1 << 20
"""Written for trial: more than the small files that some full disks still take."""


@dataclass(frozen=True)
class RunFolder:
    """The directory of one run, and where everything in it lies."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the run: its directory's."""
        return self.path.resolve().name

    @property
    def recipe(self) -> Path:
        """What was asked (YAML)."""
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        """Where it ran: the fingerprint (JSON)."""
        return self.path / "environment.json"

    @property
    def ledger(self) -> Path:
        """What became of each row of the data (JSON)."""
        return self.path / "data.json"

    @property
    def log(self) -> Path:
        """The record, append-only; every view is rebuilt from it."""
        return self.path / "log.jsonl"

    @property
    def summary(self) -> Path:
        """Index of the log for listings, made again whenever it does not fit (JSON)."""
        return self.path / "summary.json"

    @property
    def rows(self) -> Path:
        """Per-row losses by epoch."""
        return self.path / "rows"

    @property
    def inbox(self) -> Path:
        """Requests from people to the run."""
        return self.path / "inbox.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Commits, each a folder such as ``0007-step-500``."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The result in Hugging Face layout."""
        return self.path / "model"

    @property
    def report(self) -> Path:
        """The report, a page for people that can be made again from the record (HTML)."""
        return self.path / "report.html"

    @property
    def lock(self) -> Path:
        """Held by the one process that trains."""
        return self.path / "lock"

    @classmethod
    def create(cls, path: Path, recipe_yaml: str, environment: Mapping[str, str]) -> RunFolder:
        """Make the directory of a new run; raises `RunError` where it is used, read-only or the disk is full.

        The recipe is written last: a folder without one is no run yet, and another may be made in it.
        """
        run = cls(path)
        with in_words("make the run's folder", path):
            try:
                path.mkdir(parents=True, exist_ok=True)
                if _is_used(run):
                    raise _used(run)
            except (FileExistsError, NotADirectoryError) as error:
                raise RunError(_no_folder(path)) from error
            with run.hold():  # of two processes that start at once, one wins
                if run.recipe.exists():
                    raise _used(run)
                run.rows.mkdir(exist_ok=True)
                run.checkpoints.mkdir(exist_ok=True)
                facts = msgspec.json.format(msgspec.json.encode(environment), indent=2) + b"\n"
                write_durably(run.environment, facts)
                write_durably(run.recipe, recipe_yaml.encode())
            sync_folder(path.parent)
        return run

    def hold(self) -> AbstractContextManager[None]:
        """Return a context in which this process alone may train here; `RunError` names who else does.

        The kernel frees the lock when the process dies, however it dies.
        """
        return lock.hold(self.lock)

    def holder(self) -> Holder | None:
        """Return who trains here now, or None."""
        return lock.holder(self.lock)

    def exists(self) -> bool:
        """Whether a run lives here: it has a recipe or a log."""
        return self.recipe.is_file() or self.log.is_file()


def refuse_unusable(path: Path, key: str = "") -> None:
    """Raise `RunError` where no new run can be made at `path`: it is used, read-only, or the disk is full.

    Something is written for trial into the nearest folder that exists, and is gone at once. `key` is the recipe's
    key that named the path.
    """
    try:
        with (
            in_words("make the run's folder", path),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
        ):
            path.stat()  # a name too long for the disk, or a loop of links, ends here
        if path.is_dir() and _is_used(RunFolder(path)):
            raise _used(RunFolder(path))
        existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not existing.is_dir():
            raise RunError(_no_folder(existing))
        with in_words("make the run's folder", path), tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except RunError as error:
        problems = [dataclasses.replace(p, field=key) for p in error.problems]
        if isinstance(error, DiskFullError):  # its own advice is for a run that has begun
            fix = "free some space, or choose a folder on another disk with `output_dir`"
            problems = [dataclasses.replace(p, fix=fix) for p in problems]
        raise type(error)(problems) from error


def next_free(root: Path, stem: str) -> Path:
    """Return the first unused folder of ``root/stem``, ``root/stem-2``, ``root/stem-3`` …

    Characters of `stem` that are awkward in a folder's name become ``-``.
    """
    stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "run"
    taken = {entry.name for entry in root.iterdir()} if root.is_dir() else set()
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return root / name


def find(name_or_path: str, root: str | Path = "runs") -> RunFolder:
    """Return the run meant by a path, a name in `root` or the beginning of one that only one run has.

    Raises `RunError` with near names.
    """
    for path in (Path(name_or_path), Path(root) / name_or_path):
        if _is_run(path):
            return RunFolder(path)
    folder = Path(root)
    names = sorted(entry.name for entry in folder.iterdir() if _is_run(entry)) if folder.is_dir() else []
    beginning = [name for name in names if name.startswith(name_or_path)] if name_or_path else []
    if len(beginning) == 1:
        return RunFolder(folder / beginning[0])
    if beginning:
        message, fix = f"`{name_or_path}` begins the names of {len(beginning)} runs", _listed(beginning)
    elif near := difflib.get_close_matches(name_or_path, names, n=3):
        message, fix = f"no run `{name_or_path}`", f"did you mean {_listed(near)}?"
    elif names:
        message, fix = f"no run `{name_or_path}`", f"there are {_listed(names)}; `tunewell runs` lists them"
    else:
        message, fix = f"no run `{name_or_path}`", "there are no runs yet: tunewell train RECIPE"
    raise RunError(Problem("run", message, str(root), fix=fix))


def _is_run(path: Path) -> bool:
    try:
        return RunFolder(path).exists()
    except (OSError, ValueError) as error:  # a name too long for the disk, or with a NUL in it, is no run
        if isinstance(error, OSError) and error.errno not in {errno.ENAMETOOLONG, errno.EINVAL, errno.EACCES}:
            raise
        return False


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _no_folder(path: Path) -> Problem:
    what = "a file stands where the run's folder should be"
    return Problem("run", what, str(path), fix="choose another `output_dir`")


def _is_used(run: RunFolder) -> bool:
    """Tell whether anything is in the folder; what a creation that was cut short left there doesn't count."""
    present = set(run.path.iterdir())
    if not present or run.lock not in present:
        return bool(present)
    files = {run.lock, run.environment, temporary_of(run.environment), temporary_of(run.recipe)}
    empty = {
        folder for folder in (run.rows, run.checkpoints) if folder.is_dir() and not any(folder.iterdir())
    }
    return bool(present - files - empty)


def _used(run: RunFolder) -> RunError:
    what = "holds a run" if run.exists() else "is not empty"
    fix = f"go on with it: tunewell resume {run.name} · or begin another under another `name` or `output_dir`"
    if not run.exists():
        fix = "choose another `name` or `output_dir`"
    return RunError(Problem("run", f"the folder {what}", str(run.path), fix=fix))

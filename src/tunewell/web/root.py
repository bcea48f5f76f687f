"""The folder of runs: opaque names for what is in it, and no way out of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tunewell.runs.folder import RunFolder


class NotHereError(LookupError):
    """What was asked for is not in the folder of runs."""


class Root:
    """Runs by opaque id; the ids are the same whenever the same folder is served."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=32).digest()
        self._names: dict[str, str] = {}

    def id_of(self, name: str) -> str:
        """Return the id of the run in the folder `name`."""
        digest = hashlib.blake2b(os.fsencode(name), key=self._key, digest_size=8).hexdigest()
        self._names[digest] = name
        return digest

    def run(self, run_id: str) -> RunFolder:
        """Return the run of an id; raises `NotHereError` where there is none, or it lies elsewhere."""
        if run_id not in self._names:
            for name in self.names():
                self.id_of(name)
        if run_id not in self._names:
            raise NotHereError(run_id)
        run = RunFolder(self.path / self._names[run_id])
        self.check(run)
        if not run.exists():
            raise NotHereError(run_id)
        return run

    def check(self, run: RunFolder) -> None:
        """Raise `NotHereError` where the folder of `run`, or a file that is read or written there, is a link elsewhere."""
        files = (run.log, run.inbox, run.recipe, run.ledger, run.environment, run.summary, run.rows)
        for path in (run.path, *files):
            if path.is_symlink():
                self.inside(path)

    def names(self) -> list[str]:
        """Return the names of all folders here, runs or not."""
        try:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        except OSError:
            return []

    def inside(self, path: Path) -> Path:
        """Return `path` resolved; raises `NotHereError` where a link leads out of the folder of runs."""
        resolved = path.resolve()
        if not resolved.is_relative_to(self.path.resolve()):
            raise NotHereError(str(path))
        return resolved

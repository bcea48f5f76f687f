"""Where a model comes from: a folder, an alias of an installed package, or the Hugging Face hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tunewell import plugins
from tunewell.models.size import refuse_many_labels
from tunewell.problems import ModelError, Problem, nearest


@dataclass(frozen=True)
class Source:
    """A model that `from_pretrained` can load: `location` is a folder or a hub name."""

    name: str
    location: str
    revision: str | None = None

    @property
    def is_local(self) -> bool:
        """True when nothing has to be downloaded."""
        return os.path.isdir(self.location)


def find(name: str, revision: str | None = None) -> Source:
    """Return the source of model `name`.

    A folder wins over an alias, an alias over the hub. Raises `ModelError` when the name is a path that does not
    exist, or the alias's package is not installed.
    """
    folder = Path(os.path.expanduser(name))
    if os.path.isdir(folder):  # which, unlike Path.is_dir, takes any name
        if not (folder / "config.json").is_file():
            raise ModelError(
                Problem(
                    "model",
                    f"no config.json in model folder {folder}",
                    field="model",
                    fix="give the folder that `save_pretrained` wrote",
                )
            )
        refuse_many_labels(folder, name)
        return Source(name, str(folder))
    aliases = plugins.names("models.packaged")
    key = name.replace("-", "_")
    if key in aliases:
        return Source(name, str(plugins.load("models.packaged", key)()))
    if folder.is_absolute() or name.startswith(("./", "../", "~")):
        raise ModelError(
            Problem("model", f"no such model folder: {folder}", field="model", fix=_near(folder))
        )
    if "/" not in name and (guess := nearest(key, aliases)):
        raise ModelError(
            Problem(
                "model",
                f"unknown model `{name}`",
                field="model",
                fix=f"did you mean `{guess.replace('_', '-')}`?",
            )
        )
    return Source(name, name, revision)


def _near(folder: Path) -> str:
    parent = folder.parent
    if not os.path.isdir(parent):
        return f"{parent} does not exist either"
    siblings = sorted(p.name for p in parent.iterdir() if p.is_dir())
    guess = nearest(folder.name, siblings)
    return (
        f"did you mean {parent / guess}?"
        if guess
        else f"{parent} holds: {', '.join(siblings[:8]) or 'no folder'}"
    )

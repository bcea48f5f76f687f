"""The fingerprint of where a run computes: on an equal one a resume is exact, on another approximate."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

_PACKAGES = ["tunewell", "torch", "transformers", "numpy", "safetensors", "tokenizers"]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the fingerprint; `more` adds what only torch can tell (device, threads, precision …)."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()).strip() or "not known",  # its exp and log decide last bits
        "processor": _processor(),
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {**found, **(more or {})}


def read(path: Path) -> dict[str, str]:
    """Return the fingerprint in a file; an empty one, in which nothing is known, where it is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return what differs between two fingerprints, such as ``torch was 2.10.0 and is 2.11.0 now``."""
    names = list(dict.fromkeys([*old, *new]))
    return [
        f"{name.replace('_', ' ')} was {old.get(name, 'not known')} and is {new.get(name, 'not known')} now"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

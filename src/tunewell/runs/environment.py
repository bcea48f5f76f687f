"""The fingerprint of where a run computes: on an equal one a resume is exact, on another approximate."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

_PACKAGES = ["tunewell", "torch", "transformers", "numpy", "safetensors", "tokenizers"]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the fingerprint; `more` adds what only torch can tell (device, threads, precision …)."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": str(_usable_cores()),
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {**found, **(more or {})}


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return what differs between two fingerprints, such as ``torch was 2.10.0 and is 2.11.0 now``."""
    names = list(dict.fromkeys([*old, *new]))
    return [
        f"{name.replace('_', ' ')} was {old.get(name, 'not known')} and is {new.get(name, 'not known')} now"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

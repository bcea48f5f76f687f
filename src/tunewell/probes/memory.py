"""How much memory this process holds and may hold, and how much disk is left."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def held(device: torch.device) -> int | None:
    """Return the bytes that this process holds, on a GPU those allocated there; None: it can't be told."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return _largest()
    return pages * os.sysconf("SC_PAGE_SIZE")


def limit(device: torch.device) -> int | None:
    """Return the bytes that it may hold: the GPU's, the container's, else the machine's; None: it can't be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    found = [int(text) for path in _LIMITS if (text := _read(path)).isdecimal()]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found) if found else None


def disk_free(folder: Path) -> int | None:
    """Return the bytes free where `folder` is; None: the disk does not say."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def file_bytes(path: Path) -> int | None:
    """Return the size of a file; None: it can't be told."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _largest() -> int | None:
    """Return the most that this process has held, where the present can't be read: macOS."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
